"""Pairs of noisy and clean recordings, read whole or cut into segments, and modified on reading.

With ``tempo``, the speech becomes faster or slower and the noise does not: the noise is noisy - clean, the clean speech
is stretched, and the two are added again. ``augment``, ``snr_db`` and ``level_db`` also separate speech and noise in
this way before they change and mix them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sordino.audio.tempo import stretch
from sordino.data.augmentation import NOTHING
from sordino.data.augmentation_apply import Degrader, MixtureParts
from sordino.data.base import LazySequence, RecordingPool, Segments, count_samples, pad, segment_samples
from sordino.data.fixed_draws import evenly_spread, valid_generator
from sordino.data.mixing import Mixing
from sordino.data.names import speaker_of
from sordino.data.recordings import Recordings, audio_below, pair_files, pair_key
from sordino.errors import InputError
from sordino.types import Item

Split = Literal["train", "valid", "test"]


def split_of(group: str, valid: Collection[str], test: Collection[str]) -> Split:
    """Return the split of a group, such as a speaker, by the groups that are held out."""
    if group in valid:
        return "valid"
    if group in test:
        return "test"
    return "train"


class Pair(NamedTuple):
    """A noisy file and its clean reference, if it has one."""

    id: str
    noisy: Path
    clean: Path | None
    speaker: str


@runtime_checkable
class Paired(Protocol):
    """Interface of sources whose training recordings are files on disk, which they can list."""

    def pairs(self, split: Split) -> list[Pair]: ...


def list_pairs(noisy: str | Path, clean: str | Path | None, manifest: str | None = None) -> list[Pair]:
    """List the pairs of two folders, or the noisy files of one; errors as in ``pair_files``."""
    root = Path(noisy)
    if clean is None:
        paths = audio_below(root, (), manifest)
        return [Pair(pair_key(path, root), path, None, speaker_of(path, root)) for path in paths]
    files = pair_files(noisy, clean, manifest)
    return [Pair(id, path, partner, speaker_of(path, root)) for id, path, partner in files]


class PairSet:
    """Pairs that can be read as whole recordings or as segments.

    Args:
        pairs: ids, files and speakers.
        noisy: the noisy recordings, in the order of ``pairs``.
        clean: the references in the same order; None if there are none.
        sample_rate: rate of all recordings in Hz.
    """

    def __init__(
        self, pairs: Sequence[Pair], noisy: RecordingPool, clean: RecordingPool | None, sample_rate: int
    ) -> None:
        self.pairs, self.noisy, self.clean, self.sample_rate = list(pairs), noisy, clean, sample_rate

    @classmethod
    def open(cls, pairs: Sequence[Pair], sample_rate: int, cache: bool = False) -> PairSet:
        """Open pairs of files.

        Args:
            pairs: the files.
            sample_rate: rate of every file in Hz.
            cache: keep decoded files in memory.

        Raises:
            InputError: a file is unreadable or at another rate, or the lengths of a pair differ.
        """
        noisy = Recordings([pair.noisy for pair in pairs], sample_rate, cache)
        paths = [pair.clean for pair in pairs if pair.clean is not None]
        if not paths:
            return cls(pairs, noisy, None, sample_rate)
        clean = Recordings(paths, sample_rate, cache)
        for pair, length, partner in zip(pairs, noisy.lengths, clean.lengths, strict=True):
            if length != partner:
                found = f"is {length} samples long and its clean partner {partner}"
                raise InputError(pair.noisy, found, "equal lengths", "`sordino data check` lists all such pairs")
        return cls(pairs, noisy, clean, sample_rate)

    def whole(self, mixing: Mixing | None = None) -> LazySequence:
        """Return whole recordings; with ``mixing`` they are mixed again (except for tempo), the same in every run."""
        item_of = self._whole if mixing is None else _Remixed(self, mixing)
        return LazySequence(len(self.pairs), item_of)

    def segments(self, seed: int, segment_s: float, stride_s: float, mixing: Mixing) -> Segments:
        """Return segments that start every ``stride_s`` seconds; the last one of a file is zero-padded."""
        length = segment_samples(segment_s, self.sample_rate)
        stride = count_samples("stride_s", stride_s, self.sample_rate)
        starts = []
        for index, total in enumerate(self.noisy.lengths):
            count = 1 + max(0, math.ceil((total - length) / stride))
            count = min(count, math.ceil(total / stride))  # a stride that is longer than a segment may leave nothing
            for step in range(count):
                starts.append((index, step * stride))
        return Segments(len(starts), seed, _Cutting(self, starts, length, mixing))

    def cut(self, index: int, start: int, length: int, tempo: float = 1.0) -> Item:
        """Cut a segment out of pair ``index``, zero-padded to ``length``, its speech at another ``tempo``."""
        pair = self.pairs[index]
        span = math.ceil(length * max(tempo, 1.0))  # fast speech fills the segment with more of the recording
        noisy = self.noisy.read(index, start, span)
        if self.clean is None:
            return Item(pad(noisy, length), None, min(len(noisy), length), pair.id, pair.speaker)
        clean = self.clean.read(index, start, span)
        if tempo != 1:
            noise = noisy - clean
            clean = stretch(clean, tempo, self.sample_rate)
            shorter = min(len(noise), len(clean))
            clean = clean[:shorter]
            noisy = clean + noise[:shorter]
        return Item(pad(noisy, length), pad(clean, length), min(len(noisy), length), pair.id, pair.speaker)

    def remix(self, rng: np.random.Generator, item: Item, mixing: Mixing, snr_db: float | None) -> Item:
        """Separate noise and speech of a pair and mix them again, at ``snr_db`` or, if that is None, at their ratio."""
        assert item.clean is not None
        clean = item.clean[: item.length]
        level_db = mixing.draw_level(rng)
        sounds = MixtureParts(clean, clean, item.noisy[: item.length] - clean)
        degrade = Degrader(mixing.augment or NOTHING, self.sample_rate)
        noisy, clean, _ = degrade(rng, sounds, self._draw_noise, snr_db, level_db)
        return item._replace(noisy=pad(noisy, len(item.noisy)), clean=pad(clean, len(item.noisy)))

    def _draw_noise(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """Draw ``length`` samples of the noise of a pair."""
        assert self.clean is not None
        index = int(rng.integers(len(self.pairs)))
        offset = int(rng.integers(self.noisy.lengths[index]))
        return self.noisy.loop(index, offset, length) - self.clean.loop(index, offset, length)

    def _whole(self, index: int) -> Item:
        return self.cut(index, 0, int(self.noisy.lengths[index]))


@dataclass(frozen=True)
class _Cutting:
    """Makes the training item of an index."""

    pairs: PairSet
    starts: list[tuple[int, int]]
    length: int
    mixing: Mixing

    def __call__(self, rng: np.random.Generator, index: int) -> Item:
        mixing = self.mixing
        item = self.pairs.cut(*self.starts[index], self.length, mixing.draw_tempo(rng))
        if not mixing.remixes_pairs:
            return item
        snr_db = None if mixing.snr_db is None else rng.uniform(*mixing.snr_db)
        return self.pairs.remix(rng, item, mixing, snr_db)


@dataclass(frozen=True)
class _Remixed:
    """Makes the validation item of an index, mixed again."""

    pairs: PairSet
    mixing: Mixing

    def __call__(self, index: int) -> Item:
        item = self.pairs.cut(index, 0, int(self.pairs.noisy.lengths[index]))
        snr_db = None if self.mixing.snr_db is None else evenly_spread(self.mixing.snr_db, index)
        return self.pairs.remix(valid_generator(index), item, self.mixing, snr_db)


def demand_apart(noisy: str, clean: str | None) -> None:
    """Refuse one folder as both sides of pairs, from which a network would learn to change nothing.

    Raises:
        InputError: it is one folder.
    """
    if clean is not None and os.path.realpath(noisy) == os.path.realpath(clean):
        raise InputError("clean", f"{clean} is the folder of the noisy recordings", "that of their clean partners")


def demand_noisy(split: Split, noisy: str | None, clean: str | None) -> None:
    """Refuse the folder ``clean`` of a split without its folder ``noisy``: it would be ignored."""
    if clean is not None and noisy is None:
        raise InputError(f"{split}_clean", f"has no {split}_noisy beside it", "both folders, or neither")


def test_items(noisy: str | None, clean: str | None, sample_rate: int, instead: str | None) -> Sequence[Item]:
    """Return the whole recordings of a source's test set.

    Args:
        noisy, clean: their folders.
        sample_rate: Hz.
        instead: the argument by which the source can keep recordings of its own for a test; for the message.

    Raises:
        InputError: the source has none, or its files cannot be used, see :class:`PairSet`.
    """
    if noisy is None or clean is None:
        hint = "give test_noisy and test_clean, two folders of pairs"
        if instead:
            hint += f", or {instead}"
        raise InputError("data", "has no test set", hint=hint)
    return PairSet.open(list_pairs(noisy, clean), sample_rate).whole()
