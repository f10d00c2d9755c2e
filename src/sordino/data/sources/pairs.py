"""Pairs: two folders of noisy and clean recordings that belong together, cut into segments.

With ``tempo``, the speech is played faster or slower and the noise is not: noise = noisy - clean is kept as it is,
the clean speech is stretched, and the two are added again. ``augment``, ``snr_db`` and ``level_db`` take the two apart
in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sordino.audio.tempo import stretch
from sordino.data.augmentation import NOTHING, Augmentation, augmentation
from sordino.data.base import Lazy, Segments, pad
from sordino.data.degrading import Degrader, Sounds
from sordino.data.mixing import Mixing, Pool, samples, spread, valid_generator
from sordino.data.recordings import Recordings, audio_below, held_out, is_synthetic, pair_files, pair_key, speaker_of
from sordino.errors import InputError
from sordino.types import Item

Split = Literal["train", "valid", "test"]


class Pair(NamedTuple):
    """A noisy file and its reference, if it has one."""

    id: str
    noisy: Path
    clean: Path | None
    speaker: str


@runtime_checkable
class Paired(Protocol):
    """A source that trains on recordings as they lie on disk, and can list them."""

    def pairs(self, split: Split) -> list[Pair]: ...


def list_pairs(noisy: str | Path, clean: str | Path | None, manifest: str | None = None) -> list[Pair]:
    """List the pairs of two folders, or the noisy files of one; errors as in ``pair_files``."""
    root = Path(noisy)
    if clean is None:
        paths = audio_below(root, (), manifest)
        return [Pair(pair_key(path, root), path, None, speaker_of(path, root)) for path in paths]
    found = pair_files(noisy, clean, manifest)
    return [Pair(id, path, partner, speaker_of(path, root)) for id, path, partner in found]


class PairSet:
    """Pairs, as whole recordings or as segments.

    Args:
        pairs: what they are called.
        noisy: their recordings.
        clean: their references, if they have any.
        sample_rate: Hz, of all of them.
    """

    def __init__(self, pairs: Sequence[Pair], noisy: Pool, clean: Pool | None, sample_rate: int) -> None:
        self.pairs, self.noisy, self.clean, self.sample_rate = list(pairs), noisy, clean, sample_rate

    @classmethod
    def open(cls, pairs: Sequence[Pair], sample_rate: int, cache: bool = False) -> PairSet:
        """Open pairs of files.

        Args:
            pairs: what to read.
            sample_rate: Hz, of every file.
            cache: keep decoded files in memory.

        Raises:
            InputError: a file is unreadable or at another rate, or the lengths of a pair differ.
        """
        noisy = Recordings([pair.noisy for pair in pairs], sample_rate, cache)
        paths = [pair.clean for pair in pairs if pair.clean is not None]
        clean = Recordings(paths, sample_rate, cache) if paths else None
        if clean is not None and (wrong := np.flatnonzero(clean.lengths != noisy.lengths)).size:
            pair, lengths = pairs[wrong[0]], (noisy.lengths[wrong[0]], clean.lengths[wrong[0]])
            found = f"is {lengths[0]} samples long and its clean partner {lengths[1]}"
            raise InputError(pair.noisy, found, "equal lengths", "`sordino data check` lists all such pairs")
        return cls(pairs, noisy, clean, sample_rate)

    def whole(self, mixing: Mixing | None = None) -> Lazy:
        """Every pair at its whole length; with ``mixing``, mixed anew (tempo apart), the same in every run."""
        return Lazy(len(self.pairs), self._whole if mixing is None else _Whole(self, mixing))

    def segments(self, seed: int, segment_s: float, stride_s: float, mixing: Mixing) -> Segments:
        """Hand out segments that start every ``stride_s`` seconds; the last one of a file is zero-padded."""
        length, stride = (
            samples(*named, self.sample_rate) for named in (("segment_s", segment_s), ("stride_s", stride_s))
        )
        starts = [
            (index, step * stride)
            for index, total in enumerate(self.noisy.lengths)
            for step in range(max(0, math.ceil((total - length) / stride)) + 1)
        ]
        return Segments(len(starts), seed, _Cutting(self, starts, length, mixing))

    def cut(self, index: int, start: int, length: int, tempo: float = 1.0) -> Item:
        """Cut a segment out of pair ``index``, zero-padded to ``length``, its speech at another ``tempo``."""
        pair, span = self.pairs[index], math.ceil(length * max(tempo, 1.0))
        noisy = self.noisy.read(index, start, span)
        if self.clean is None:
            return Item(pad(noisy, length), None, min(len(noisy), length), pair.id, pair.speaker)
        clean = self.clean.read(index, start, span)
        if tempo != 1:
            noise, clean = noisy - clean, stretch(clean, tempo, self.sample_rate)
            shorter = min(len(noise), len(clean))
            clean = clean[:shorter]
            noisy = clean + noise[:shorter]
        return Item(pad(noisy, length), pad(clean, length), min(len(noisy), length), pair.id, pair.speaker)

    def remix(self, rng: np.random.Generator, item: Item, mixing: Mixing, snr_db: float | None) -> Item:
        """Take noise and speech of a pair apart and mix them anew, at ``snr_db`` or at the ratio that they have."""
        assert item.clean is not None
        clean = item.clean[: item.length]
        level_db = None if mixing.level_db is None else rng.uniform(*mixing.level_db)
        sounds = Sounds(clean, clean, item.noisy[: item.length] - clean)
        degrade = Degrader(mixing.augment or NOTHING, self.sample_rate)
        noisy, clean, _ = degrade(rng, sounds, self._other_noise, snr_db, level_db)
        return item._replace(noisy=pad(noisy, len(item.noisy)), clean=pad(clean, len(item.noisy)))

    def _other_noise(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """The noise of another pair, ``length`` samples of it."""
        assert self.clean is not None
        index = int(rng.integers(len(self.pairs)))
        offset = int(rng.integers(self.noisy.lengths[index]))
        return self.noisy.loop(index, offset, length) - self.clean.loop(index, offset, length)

    def _whole(self, index: int) -> Item:
        return self.cut(index, 0, int(self.noisy.lengths[index]))


@dataclass(frozen=True)
class _Cutting:
    """The item of a training index."""

    pairs: PairSet
    starts: list[tuple[int, int]]
    length: int
    mixing: Mixing

    def __call__(self, rng: np.random.Generator, index: int) -> Item:
        mixing = self.mixing
        tempo = 1.0 if mixing.tempo is None else rng.uniform(*mixing.tempo)
        item = self.pairs.cut(*self.starts[index], self.length, tempo)
        if not mixing.anew:
            return item
        snr_db = None if mixing.snr_db is None else rng.uniform(*mixing.snr_db)
        return self.pairs.remix(rng, item, mixing, snr_db)


@dataclass(frozen=True)
class _Whole:
    """The validation item of an index, mixed anew."""

    pairs: PairSet
    mixing: Mixing

    def __call__(self, index: int) -> Item:
        item = self.pairs.cut(index, 0, int(self.pairs.noisy.lengths[index]))
        snr_db = None if self.mixing.snr_db is None else spread(self.mixing.snr_db, index)
        return self.pairs.remix(valid_generator(index), item, self.mixing, snr_db)


def items_of_test(noisy: str | None, clean: str | None, sample_rate: int) -> Sequence[Item]:
    """The recorded test set of a source, whole.

    Raises:
        InputError: the source has none, or what :class:`PairSet` raises.
    """
    if noisy is None or clean is None:
        raise InputError("data", "has no test set", hint="give test_noisy and test_clean, two folders of pairs")
    return PairSet.open(list_pairs(noisy, clean), sample_rate).whole()


class Pairs:
    """Two folders of pairs of your own, or one of noisy recordings for label-free distillation.

    Files pair by their path below the folders, suffix apart, or by ``fileid_N``. The speaker is the folder above a
    file or, right in ``noisy``, its name before the first ``_``; validation takes whole speakers, chosen by the
    CRC-32 of their names (single recordings where there is one speaker only).

    Args:
        noisy: folder of noisy recordings.
        clean: folder of their clean partners; none for label-free distillation.
        valid_noisy: folder of validation recordings; none splits speakers off ``noisy``.
        valid_clean: folder of their clean partners.
        valid_fraction: about this share of the speakers is kept for validation; unused with ``valid_noisy``.
        test_noisy: folder of noisy test recordings.
        test_clean: folder of their clean partners.
        segment_s: length of a training segment in seconds; shorter recordings are zero-padded.
        stride_s: seconds from one segment's start to the next one's.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none leaves it alone.
        snr_db: lowest and highest signal-to-noise ratio in dB; none keeps that of each pair.
        level_db: lowest and highest RMS of the mixtures in dBFS; none keeps the speech at its own level.
        augment: what else happens to speech, noise and mixture, in validation too, see
            :class:`sordino.data.augmentation.Augmentation`; none leaves the pairs as they are.
        sample_rate: Hz, of every file.
        cache: keep decoded files in memory.
        manifest: a manifest written by ``sordino data check --fix``; training and validation files that it does not
            list are left out.
    """

    name = "pairs"

    def __init__(
        self,
        noisy: str,
        clean: str | None = None,
        valid_noisy: str | None = None,
        valid_clean: str | None = None,
        valid_fraction: float = 0.1,
        test_noisy: str | None = None,
        test_clean: str | None = None,
        segment_s: float = 4.0,
        stride_s: float = 1.0,
        tempo: tuple[float, float] | None = None,
        snr_db: tuple[float, float] | None = None,
        level_db: tuple[float, float] | None = None,
        augment: Augmentation | Mapping[str, Any] | None = None,
        sample_rate: int = 16000,
        cache: bool = False,
        manifest: str | None = None,
    ) -> None:
        if not 0 < valid_fraction <= 0.5:
            raise InputError("valid_fraction", f"{valid_fraction}", "above 0, at most 0.5")
        changes = {"tempo": tempo, "snr_db": snr_db, "level_db": level_db, "augment": augment}
        for argument, value in changes.items():
            if value is not None and clean is None:
                do = f"give clean, or leave {argument} out"
                raise InputError(argument, "needs clean recordings to change", hint=do)
        self.synthetic = is_synthetic(noisy)
        self.labels = "all" if clean is not None else "none"
        self.noisy, self.clean, self.valid_noisy, self.valid_clean = noisy, clean, valid_noisy, valid_clean
        self.valid_fraction, self.test_noisy, self.test_clean = valid_fraction, test_noisy, test_clean
        self.segment_s, self.stride_s = segment_s, stride_s
        self.mixing = Mixing(snr_db, level_db, tempo, augment=augmentation(augment))
        self.sample_rate, self.cache, self.manifest = sample_rate, cache, manifest

    def train(self, seed: int) -> Segments:
        """Segments of ``segment_s``; see :class:`sordino.data.base.Source`."""
        pairs = PairSet.open(self._split[0], self.sample_rate, self.cache)
        return pairs.segments(seed, self.segment_s, self.stride_s, self.mixing)

    def valid(self) -> Sequence[Item]:
        """Whole recordings of held-out speakers, or of ``valid_noisy``, augmented as in training; all hold speech."""
        return PairSet.open(self._split[1], self.sample_rate).whole(self.mixing.for_validation())

    def test(self) -> Sequence[Item]:
        """Whole recordings of ``test_noisy``."""
        return items_of_test(self.test_noisy, self.test_clean, self.sample_rate)

    def pairs(self, split: Split) -> list[Pair]:
        """List the files of a split; none where there is no test set."""
        if split != "test":
            return self._split[split == "valid"]
        return [] if self.test_noisy is None else list_pairs(self.test_noisy, self.test_clean)

    @cached_property
    def _split(self) -> tuple[list[Pair], list[Pair]]:
        """The pairs to train on and the pairs to validate on."""
        pairs = list_pairs(self.noisy, self.clean, self.manifest)
        if self.valid_noisy is not None:
            return pairs, list_pairs(self.valid_noisy, self.valid_clean, self.manifest)
        groups = [pair.speaker for pair in pairs]
        if len(set(groups)) == 1:
            groups = [pair.id for pair in pairs]
        if len(pairs) < 2:
            raise InputError(self.noisy, "holds one recording", "at least two, as one is kept for validation")
        valid = held_out(groups, round(1 / self.valid_fraction))
        return (
            [pair for pair, group in zip(pairs, groups, strict=True) if group not in valid],
            [pair for pair, group in zip(pairs, groups, strict=True) if group in valid],
        )
