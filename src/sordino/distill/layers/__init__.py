"""Parts that methods share: pairing of layers, alignment by position, resizing, rows, fusion, attention over layers."""
