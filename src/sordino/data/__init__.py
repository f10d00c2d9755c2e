"""Data for training: the contract of sources, mixing, augmentation and batches; subpackages hold sources and tools."""
