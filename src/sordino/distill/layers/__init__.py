"""Parts that methods share: pairing of layers, alignment by position, resizing, fusion, attention over layers."""
