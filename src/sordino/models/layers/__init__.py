"""Layers that networks share, each written once for training, streaming and export."""
