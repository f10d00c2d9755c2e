"""Tools for corpora on disk: check them, resample them, write mixtures and shards."""
