"""Read, write and resample whole sound files or parts of them, with libsndfile and soxr.

``audio/blocks`` reads and ``audio/encoding`` writes block by block. Only ``audio`` opens sound files. Arrays are
float32 with full scale at +-1, channels first. Errors name the file; nothing is clipped silently; files are replaced
atomically. Torch-free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from sordino.audio.blocks import READABLE, blocks_of, check_finite, damaged, open_sound
from sordino.audio.encoding import FLOATS, encoder, subtype_for
from sordino.audio.forward import ForwardFile
from sordino.audio.mix import QUIET_DB, fitting_gain, rms_db
from sordino.errors import InputError

MP3_LEAD = 4 * 1152
"""Samples decoded before a segment of an MP3: its frames build on those before them, which a seek leaves out."""

WHOLE = 2**20
"""Samples that are decoded at once where a whole file is read: a header's length is not believed before that."""


@dataclass(frozen=True)
class Info:
    """Properties of a sound file as its header states them."""

    sample_rate: int
    channels: int
    length: int
    """Samples per channel."""
    seconds: float
    format: str
    subtype: str


def info(path: str | Path) -> Info:
    """Read the header of a sound file.

    Raises:
        InputError: the file is missing, empty or not audio.
    """
    with open_sound(path) as file:
        return info_of(file)


def info_of(file: soundfile.SoundFile) -> Info:
    """Return the properties of an open sound file."""
    seconds = file.frames / file.samplerate
    return Info(file.samplerate, file.channels, file.frames, seconds, file.format, file.subtype)


def read(path: str | Path, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read a whole sound file.

    Args:
        path: any file that libsndfile reads.
        sample_rate: resample to this rate in Hz; None keeps the file's own.

    Returns:
        float32 ``[C,T]`` and its sample rate in Hz.

    Raises:
        InputError: the file is missing, not audio, without samples, or holds NaN or infinite samples.
    """
    with open_sound(path, ForwardFile) as file:
        rate = file.samplerate
        audio = np.concatenate(list(blocks_of(file, path, WHOLE)), axis=1)
    if sample_rate is not None and sample_rate != rate:
        audio, rate = resample(audio, rate, sample_rate), sample_rate
    return np.ascontiguousarray(audio), rate


def read_mono(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read a whole file as the mean of its channels at ``sample_rate`` Hz, float32 ``[T]``; errors as :func:`read`."""
    audio, rate = read(path)
    return resample(audio.mean(axis=0), rate, sample_rate)


def read_segment(path: str | Path, start: int = 0, length: int | None = None) -> np.ndarray:
    """Read part of a file without decoding the rest, at the file's own rate, as the mean of its channels.

    Args:
        path: a sound file of any format that libsndfile reads; all of them are seekable.
        start: first sample.
        length: number of samples; None reads to the end.

    Returns:
        float32 ``[T]``, shorter than ``length`` if the file ends earlier.

    Raises:
        InputError: as :func:`read`.
    """
    if start == 0 and length is None:
        audio, _ = read(path)
        return audio[0] if len(audio) == 1 else audio.mean(axis=0)
    with open_sound(path) as file:
        return _segment(file, path, start, length)


def read_compact(path: str | Path) -> np.ndarray:
    """Read a whole file in its smallest exact form, for caches.

    Returns:
        int16 ``[T]`` for a 16-bit mono file, whose values / 32768 are exactly the samples of :func:`read_segment`; the
        float32 ``[T]`` of :func:`read_segment` for any other.
    """
    with open_sound(path, ForwardFile) as file:
        if file.subtype == "PCM_16" and file.channels == 1:
            return _decode(file, path, -1, "int16")[:, 0]
    return read_segment(path)


def to_flac(audio: np.ndarray, sample_rate: int) -> bytes:
    """Encode float ``[T]`` within full scale as a FLAC file.

    The file has 16 bits, or 24 if the signal is quiet and is not exact in 16. Samples that came from 16 bits keep their
    values.
    """
    encoded, scaled = BytesIO(), audio * 32768.0
    rounded = np.clip(np.rint(scaled), -32768, 32767)
    if rms_db(audio) < QUIET_DB and not np.array_equal(rounded, scaled):
        soundfile.write(encoded, audio, sample_rate, "PCM_24", format="FLAC")
    else:
        soundfile.write(encoded, rounded.astype(np.int16), sample_rate, "PCM_16", format="FLAC")
    return encoded.getvalue()


def decode(content: bytes, where: object, start: int = 0, length: int | None = None) -> np.ndarray:
    """Decode part of a sound file in memory, as :func:`read_segment` does for a path; ``where`` names it in errors."""
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            return _segment(file, where, start, length)
    except soundfile.LibsndfileError as error:
        raise InputError(where, "cannot be read as audio", READABLE) from error


def write(path: str | Path, audio: np.ndarray, sample_rate: int, subtype: str | None = None) -> float:
    """Write a whole sound file, atomically.

    Nothing is clipped: if samples exceed full scale and the subtype holds no floats, the whole signal is attenuated.

    Args:
        path: file to write; the suffix chooses the format.
        audio: float ``[C,T]`` or ``[T]``, full scale at +-1.
        sample_rate: Hz.
        subtype: libsndfile's name of the encoding, such as ``PCM_24`` or ``FLOAT``; None takes the format's default.

    Returns:
        The gain applied in dB: 0.0, or below if the signal did not fit.

    Raises:
        InputError: an unknown suffix, a rate or subtype that the format cannot hold, integer, NaN or infinite samples,
            or a file that cannot be written, for example on a full disk.
    """
    audio = np.asarray(audio)
    if not np.issubdtype(audio.dtype, np.floating) or audio.ndim not in (1, 2):
        raise InputError(path, f"cannot write a {audio.ndim}-d array of {audio.dtype}", "floats [C,T] or [T]")
    check_finite(audio, path)
    gain = 1.0 if subtype_for(path, subtype) in FLOATS else fitting_gain(audio)
    audio = np.atleast_2d(audio)
    with encoder(path, sample_rate, len(audio), subtype, audio.shape[1]) as write_block:
        write_block(audio * gain)
    return 20 * math.log10(gain)


def resample(audio: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Resample float ``[...,T]`` along its last axis with soxr's HQ filter; with equal rates it returns the input."""
    if rate_in == rate_out:
        return audio
    if audio.ndim == 1:
        return soxr.resample(audio, rate_in, rate_out, quality="HQ")
    flat = audio.reshape(-1, audio.shape[-1])
    resampled = soxr.resample(np.ascontiguousarray(flat.T), rate_in, rate_out, quality="HQ").T
    return np.ascontiguousarray(resampled).reshape(*audio.shape[:-1], -1)


def _segment(file: soundfile.SoundFile, path: object, start: int, length: int | None) -> np.ndarray:
    """Read ``length`` samples from ``start`` on as the mean of the channels, float32 [T]."""
    lead = min(start, MP3_LEAD) if file.format == "MP3" else 0
    try:
        file.seek(min(start - lead, file.frames))
    except soundfile.LibsndfileError as error:  # a FLAC file that was cut short, even at its start
        raise damaged(path, error) from error
    audio = _samples(file, path, -1 if length is None else length + lead)[lead:]
    return audio[:, 0] if audio.shape[1] == 1 else audio.mean(axis=1)


def _samples(file: soundfile.SoundFile, path: object, length: int = -1) -> np.ndarray:
    """Read ``length`` frames, or the rest, as finite float32 [T,C]."""
    audio = _decode(file, path, length, "float32")
    check_finite(audio, path)
    return audio


def _decode(file: soundfile.SoundFile, path: object, length: int, dtype: Literal["int16", "float32"]) -> np.ndarray:
    """Read ``length`` frames, or the rest where it is below 0, [T,C]; no more memory is taken than there is sound."""
    left = file.frames if length < 0 else length
    blocks: list[np.ndarray] = [np.zeros((0, file.channels), dtype)]
    try:
        while left > 0:
            block = file.read(min(left, WHOLE), dtype=dtype, always_2d=True)
            if not len(block):
                break
            blocks.append(block)
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise damaged(path, error) from error
    return np.concatenate(blocks) if len(blocks) != 2 else blocks[1]
