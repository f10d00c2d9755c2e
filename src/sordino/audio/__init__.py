"""Sound on disk and sound as arrays: reading, writing, resampling, mixing, spectra."""
