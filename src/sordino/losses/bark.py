"""The 49 Bark bands of wide-band PESQ: positions, corrections and thresholds of hearing.

Tables of ITU-T P.862.2 as in the public torch-pesq package (MIT), for spectra of 512 samples at 16 kHz.
"""

from __future__ import annotations

import numpy as np

BINS = 257
"""Number of bins in a spectrum of 512 samples; the first and the last belong to no band."""

POWER_SCALE = 6.91085e-06
LOUDNESS_SCALE = 0.186606

BINS_OF_BAND = (
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 3, 4, 5, 4, 5, 6, 6,
    7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20,
)  # fmt: skip
"""Number of bins in each band, from bin 0 on."""

CORRECTION = (
    100, 100, 100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 99.9999, 100, 53.0471, 110, 117.992, 65, 68.7601,
    69.9999, 71.4288, 75, 76.8434, 80.9688, 88.6461, 63.8644, 68.1553, 72.5478, 75.5848, 58.3792, 80.9508, 64.1357,
    54.3848, 73.8219, 64.4371, 59.1765, 65.5213, 61.3998, 58.144, 57.0045, 64.1263, 54.311, 61.115, 55.0778,
    56.8493, 55.6289, 53.1371, 54.9858, 79.547,
)  # fmt: skip
"""Correction factor of the power of each band."""

WIDTH = (
    0.157344, 0.317994, 0.322441, 0.326934, 0.331474, 0.336061, 0.340697, 0.345381, 0.350114, 0.354897, 0.359729,
    0.364611, 0.369544, 0.374529, 0.379565, 0.384653, 0.389794, 0.394989, 0.400236, 0.405538, 0.410894, 0.416306,
    0.421773, 0.427297, 0.432877, 0.438514, 0.444209, 0.449962, 0.455774, 0.461645, 0.467577, 0.473569, 0.479621,
    0.485736, 0.491912, 0.498151, 0.504454, 0.510819, 0.51725, 0.523745, 0.530308, 0.536934, 0.543629, 0.55039,
    0.55722, 0.564119, 0.571085, 0.578125, 0.585232,
)  # fmt: skip
"""Width of each band in Bark."""

CENTRE = (
    0.078672, 0.316341, 0.636559, 0.961246, 1.29045, 1.62422, 1.9626, 2.30564, 2.65338, 3.00589, 3.3632, 3.72537,
    4.09245, 4.46449, 4.84153, 5.22364, 5.61087, 6.00326, 6.40087, 6.80375, 7.21197, 7.62557, 8.04461, 8.46915,
    8.89923, 9.33493, 9.77629, 10.2234, 10.6762, 11.135, 11.5996, 12.0701, 12.5467, 13.0294, 13.5182, 14.0133,
    14.5146, 15.0222, 15.5362, 16.0567, 16.5838, 17.1174, 17.6577, 18.2047, 18.7585, 19.3191, 19.8868, 20.4614,
    21.043,
)  # fmt: skip
"""Centre of each band in Bark."""

THRESHOLD = (
    5.12862e+07, 2.45471e+06, 70794.6, 4897.79, 1174.9, 389.045, 104.713, 45.7088, 17.7828, 9.77237, 4.89779,
    3.0903, 1.90546, 1.25893, 0.977237, 0.724436, 0.562341, 0.457088, 0.389045, 0.331131, 0.295121, 0.269153,
    0.25704, 0.251189, 0.251189, 0.251189, 0.251189, 0.263027, 0.288403, 0.30903, 0.338844, 0.371535, 0.398107,
    0.436516, 0.467735, 0.489779, 0.501187, 0.501187, 0.512861, 0.524807, 0.524807, 0.524807, 0.512861, 0.47863,
    0.42658, 0.371535, 0.363078, 0.416869, 0.537032,
)  # fmt: skip
"""Threshold of hearing: power of each band below which it is inaudible."""


def bark_matrix() -> np.ndarray:
    """Return the matrix [257,49] from powers of bins to corrected powers of bands; bin 0 is left out."""
    matrix = np.zeros((BINS, len(BINS_OF_BAND)))
    start = 0
    for band, count in enumerate(BINS_OF_BAND):
        matrix[start : start + count, band] = CORRECTION[band] * POWER_SCALE
        start += count
    matrix[0] = 0
    return matrix


def loudness_exponents() -> np.ndarray:
    """Return Zwicker's exponent of each band [49]; it is larger below 4 Bark."""
    return 0.23 * np.clip(6 / (np.array(CENTRE) + 2), 1, 2) ** 0.15
