"""Tools for corpora on disk: check, prepare, render, shard."""
