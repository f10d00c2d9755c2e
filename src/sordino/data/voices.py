"""Synthesise speech-like sound by a source-filter model, and noises of several kinds.

The model is Fant's, as in Klatt's synthesiser (Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67,
1980): a glottal pulse train with jitter passes through a cascade of moving formant resonators; fricatives and bursts
are filtered noise; syllables alternate with pauses. The result has no words, but it has pitch, formants, onsets and
pauses like speech, so that a network can be trained on it and PESQ and STOI can be computed. It is not speech, and
results measured on it say nothing about speech. Deterministic for a generator's seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sordino.audio.mix import rms_db

HOP_S = 0.008
"""Time step of the articulation in seconds; a frame has four steps."""

_VOWELS = np.array(  # F1..F3 of men, Peterson and Barney 1952; F4 and F5 fixed
    [
        [730, 1090, 2440, 3500, 4500],
        [270, 2290, 3010, 3500, 4500],
        [300, 870, 2240, 3500, 4500],
        [530, 1840, 2480, 3500, 4500],
        [570, 840, 2410, 3500, 4500],
        [660, 1720, 2410, 3500, 4500],
    ],
    dtype=float,
)
_BANDWIDTHS = np.array([80.0, 100, 140, 220, 320])
_FRICATION = ((6000.0, 1300.0), (3300.0, 900.0), (4500.0, 2500.0))  # centre and width in Hz: s, sh, f
_SPEECH_DB, _NOISE_DB, _ROOM_DB = -26.0, -35.0, -62.0


@dataclass(frozen=True)
class Voice:
    """Properties of a talker's voice."""

    f0: float
    """Middle of the pitch range in Hz."""
    tract: float
    """Formant frequencies relative to an adult man's; above 1 for a shorter vocal tract."""
    pace: float
    """Relative length of the syllables."""
    breath: float
    """Amplitude of the noise in voiced sounds."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Voice:
        """Draw a voice between a low man's and a child's."""
        height = rng.uniform()
        f0 = 95 * 2 ** (1.3 * height) * rng.uniform(0.94, 1.06)
        return Voice(f0, 0.95 + 0.25 * height, rng.uniform(0.85, 1.2), rng.uniform(0.02, 0.08))


@dataclass
class _Score:
    """Articulation over time, with one row per time step: N rows."""

    voicing: np.ndarray
    frication: np.ndarray
    pitch: np.ndarray
    formants: np.ndarray
    """[N,5] Hz"""
    colour: np.ndarray
    """[N,2] centre and width of the frication in Hz"""


def speak(rng: np.random.Generator, voice: Voice, seconds: float, sample_rate: int = 16000) -> np.ndarray:
    """Synthesise ``seconds`` of speech-like sound in one voice: float32 ``[T]``, at -26 dBFS RMS."""
    length, hop = round(seconds * sample_rate), round(HOP_S * sample_rate)
    score = _compose(rng, voice, -(-length // hop) + 4)
    at = np.arange(len(score.pitch)) * hop
    pitch = np.interp(np.arange(length), at, score.pitch)
    jitter = np.interp(np.arange(length), at, rng.normal(0, 0.008, len(at)))
    phase = np.cumsum(pitch * (1 + jitter)) / sample_rate
    # A falling ramp per period has the spectral slope of glottal flow and lip radiation together, -6 dB per octave.
    pulses = 1 - 2 * (phase % 1) + voice.breath * rng.standard_normal(length)
    spoken = _filtered(pulses, score, hop, sample_rate, voiced=True)
    spoken += _filtered(rng.standard_normal(length), score, hop, sample_rate, voiced=False)
    # Real recordings are never digitally silent, and metrics fail on silence: a faint room noise is added.
    room = _at_level(_pink(rng, length, sample_rate), _ROOM_DB)
    return _at_level(_at_level(spoken, _SPEECH_DB) + room, _SPEECH_DB)


def _compose(rng: np.random.Generator, voice: Voice, frames: int) -> _Score:
    """Draw syllables and pauses for ``frames`` time steps."""
    score = _Score(np.zeros(frames), np.zeros(frames), np.zeros(frames), np.zeros((frames, 5)), np.ones((frames, 2)))
    now, left, phrase = int(rng.integers(8, 20)), 0, 1
    score.formants[:] = _VOWELS[0] * voice.tract
    score.pitch[:] = voice.f0
    while now < frames:
        if left == 0:  # a new phrase, after a pause
            left = phrase = int(rng.integers(4, 9))
            now += int(rng.integers(15, 45))
        onset = int(rng.integers(3))
        span = int(rng.integers(8, 18) * voice.pace) if onset else 0
        if onset == 1:  # fricative
            score.frication[now : now + span] = rng.uniform(0.3, 0.8)
        elif onset == 2:  # stop: closure, then a burst
            score.frication[now + span - 2 : now + span] = rng.uniform(0.6, 1.2)
        score.colour[now : now + span] = _FRICATION[rng.integers(len(_FRICATION))]
        now += span
        vowel = slice(now, now + int(rng.integers(14, 32) * voice.pace))
        score.voicing[vowel] = rng.uniform(0.5, 1.0)
        score.formants[vowel.start :] = _VOWELS[rng.integers(len(_VOWELS))] * voice.tract * rng.uniform(0.94, 1.06, 5)
        score.pitch[vowel.start :] = voice.f0 * (0.88 + 0.3 * left / phrase) * rng.uniform(0.92, 1.1)
        now, left = vowel.stop, left - 1
    score.voicing, score.frication = _smooth(score.voicing, 5), _smooth(score.frication, 3)
    score.pitch = _smooth(score.pitch, 15)
    score.formants = np.stack([_smooth(track, 9) for track in score.formants.T], axis=1)
    return score


def _filtered(source: np.ndarray, score: _Score, hop: int, sample_rate: int, voiced: bool) -> np.ndarray:
    """Filter ``source`` [T] by the time-varying filter, in frames with overlapping Hann windows."""
    length, span = len(source), 4 * hop
    padded = np.concatenate([np.zeros(span), source, np.zeros(2 * span)])
    count = (length + 2 * span) // hop - 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, span)[: count * hop : hop]
    rows = np.clip(np.arange(count) - 2, 0, len(score.pitch) - 1)
    size = 2 * span  # zero-padded, for the decay of the resonators
    hertz = np.fft.rfftfreq(size, 1 / sample_rate)
    if voiced:
        response = score.voicing[rows, None] * _cascade(score.formants[rows], hertz, sample_rate)
    else:
        centre, width = score.colour[rows, :1], score.colour[rows, 1:]
        response = score.frication[rows, None] * np.exp(-0.5 * ((hertz - centre) / width) ** 2)
    rung = np.fft.irfft(np.fft.rfft(frames * np.hanning(span + 1)[:-1], size) * response, size)
    out = np.zeros((count + 8, hop))
    for part in range(8):
        out[part : part + count] += rung[:, part * hop : (part + 1) * hop]
    return out.ravel()[span : span + length] / 2


def _cascade(formants: np.ndarray, hertz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the complex response [N,F] of a cascade of second-order resonators, each with gain 1 at 0 Hz."""
    delay = np.exp(-2j * np.pi * hertz / sample_rate)
    response = np.ones((len(formants), len(hertz)), dtype=complex)
    for track, bandwidth in zip(formants.T, _BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * bandwidth / sample_rate)
        first = 2 * radius * np.cos(2 * np.pi * track / sample_rate)[:, None]
        response *= (1 - first + radius**2) / (1 - first * delay + radius**2 * delay**2)
    return response


def make_noise(rng: np.random.Generator, kind: str, seconds: float, sample_rate: int = 16000) -> np.ndarray:
    """Make noise of one of the ``KINDS``: float32 ``[T]`` of ``seconds``, at -35 dBFS RMS."""
    return _at_level(KINDS[kind](rng, round(seconds * sample_rate), sample_rate), _NOISE_DB)


def _white(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    return rng.standard_normal(length)


def _pink(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    hertz = np.fft.rfftfreq(length, 1 / sample_rate)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) / np.sqrt(np.maximum(hertz, 20)), length)


def _hum(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    """Mains hum or an engine: harmonics of decreasing amplitude and wavering pitch, with faint noise."""
    base, time = rng.choice([50.0, 60, 83, 120]), np.arange(length) / sample_rate
    waver = 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(0.2, 1) * time)
    phase = 2 * np.pi * base * np.cumsum(waver) / sample_rate
    hum = sum(np.sin(k * phase + rng.uniform(0, 6.28)) * rng.uniform(0.3, 1) / k**0.7 for k in range(1, 31))
    return hum + 0.2 * rng.standard_normal(length)


def _clicks(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    """Keyboard or cutlery: about nine short ringing clicks per second, with faint noise."""
    ring = np.arange(round(0.03 * sample_rate)) / sample_rate
    out = 0.01 * rng.standard_normal(length + len(ring))
    for start in rng.integers(length, size=max(1, round(9 * length / sample_rate))):
        tone = np.sin(2 * np.pi * rng.uniform(800, 5000) * ring) + 0.5 * rng.standard_normal(len(ring))
        out[start : start + len(ring)] += rng.uniform(0.3, 1) * tone * np.exp(-ring / rng.uniform(0.002, 0.008))
    return out[:length]


def _gusts(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    """A band of noise whose level rises and falls a few times per second."""
    centre, time = rng.uniform(300, 3000), np.arange(length) / sample_rate
    hertz = np.fft.rfftfreq(length, 1 / sample_rate)
    band = np.fft.rfft(rng.standard_normal(length)) * np.exp(-0.5 * ((hertz - centre) / (0.5 * centre)) ** 2)
    return np.fft.irfft(band, length) * (1 + 0.8 * np.sin(2 * np.pi * rng.uniform(1, 5) * time))


def _babble(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    voices = [speak(rng, Voice.draw(rng), length / sample_rate, sample_rate) for _ in range(5)]
    return np.sum(voices, axis=0)


KINDS = {"white": _white, "pink": _pink, "hum": _hum, "clicks": _clicks, "gusts": _gusts, "babble": _babble}
"""Kinds of noise by name."""


def _smooth(track: np.ndarray, span: int) -> np.ndarray:
    """Smooth a track [N] with a Hann window of ``span`` steps."""
    window = np.hanning(span + 2)[1:-1]
    edges = np.pad(track, span // 2, mode="edge")
    return np.convolve(edges, window / window.sum(), mode="valid")


def _at_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    return (audio * 10 ** ((level_db - rms_db(audio)) / 20)).astype(np.float32)
