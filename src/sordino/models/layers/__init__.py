"""Layers shared by the networks, each written once for training, streaming and export."""
