"""Audio: reading, writing and resampling sound files, and mixing, filters, rooms and spectra for arrays of samples."""
