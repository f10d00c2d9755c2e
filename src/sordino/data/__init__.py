"""Data for training: what a source is, mixing and augmentation, and batches; sources and tools lie below."""
