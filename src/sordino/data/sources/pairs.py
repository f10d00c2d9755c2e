"""Source of two folders of noisy and clean recordings that form pairs; ``sordino.data.pairs`` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sordino.data.augmentation import Augmentation, augmentation
from sordino.data.base import Segments
from sordino.data.mixing import Mixing
from sordino.data.names import held_out, within
from sordino.data.pairs import Pair, PairSet, Split, demand_apart, demand_noisy, list_pairs, split_of, test_items
from sordino.data.recordings import is_synthetic
from sordino.errors import InputError
from sordino.types import Item


class Pairs:
    """Two folders of the user's own pairs, or one of noisy recordings for label-free distillation.

    Two files are a pair if their paths in the folders are equal except for the suffix, or by ``fileid_N``. The speaker
    of a file is the name of its folder or, for files directly in ``noisy``, the part of their name before the first
    ``_``. Validation takes whole speakers, chosen by the CRC-32 of their names; single recordings if there are too
    few speakers.

    Args:
        noisy: folder of noisy recordings.
        clean: folder of their clean partners; none for label-free distillation.
        valid_noisy: folder of validation recordings; none takes speakers of ``noisy``.
        valid_clean: folder of their clean partners.
        valid_fraction: approximate share of the speakers that is kept for validation; unused with ``valid_noisy``.
        test_fraction: approximate share of the speakers that is kept for a test; unused with ``test_noisy``.
        test_noisy: folder of noisy test recordings.
        test_clean: folder of their clean partners.
        segment_s: length of a training segment in seconds; shorter recordings are zero-padded.
        stride_s: seconds from the start of one segment to the start of the next.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        snr_db: lowest and highest signal-to-noise ratio in dB; none keeps that of each pair.
        level_db: lowest and highest RMS of the mixtures in dBFS; none keeps the speech at its own level.
        augment: further changes to speech, noise and mixture, in validation too, see
            :class:`sordino.data.augmentation.Augmentation`; none leaves the pairs unchanged.
        sample_rate: rate of every file in Hz.
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
        test_fraction: float = 0.0,
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
        if not 0 <= test_fraction <= 0.5:
            raise InputError("test_fraction", f"{test_fraction}", "0 to 0.5")
        if valid_noisy is None and valid_fraction + test_fraction >= 1:
            found = f"{test_fraction} beside valid_fraction {valid_fraction}"
            raise InputError("test_fraction", found, "less than all")
        if test_fraction and clean is None:
            raise InputError("test_fraction", "needs clean recordings", hint="give clean, or leave test_fraction out")
        if clean is not None and (valid_noisy is None) != (valid_clean is None):
            raise InputError("valid_noisy", "one folder", "valid_noisy and valid_clean, or neither")
        demand_noisy("valid", valid_noisy, valid_clean)
        demand_noisy("test", test_noisy, test_clean)
        changes = {"tempo": tempo, "snr_db": snr_db, "level_db": level_db, "augment": augment}
        for argument, value in changes.items():
            if value is not None and clean is None:
                raise InputError(argument, "needs clean recordings to change", hint=f"give clean, or no {argument}")
        self.synthetic = is_synthetic(noisy)
        self.labels = "all" if clean is not None else "none"
        self.noisy, self.clean, self.valid_noisy, self.valid_clean = noisy, clean, valid_noisy, valid_clean
        self.valid_fraction, self.test_fraction = valid_fraction, 0.0 if test_noisy else test_fraction
        self.test_noisy, self.test_clean = test_noisy, test_clean
        self.segment_s, self.stride_s = segment_s, stride_s
        self.mixing = Mixing(snr_db, level_db, tempo, augment=augmentation(augment))
        self.sample_rate, self.cache, self.manifest = sample_rate, cache, manifest

    def train(self, seed: int) -> Segments:
        """Return training segments of ``segment_s``; see :class:`sordino.data.base.Source`."""
        demand_apart(self.noisy, self.clean)
        pairs = PairSet.open(self._split["train"], self.sample_rate, self.cache)
        return pairs.segments(seed, self.segment_s, self.stride_s, self.mixing)

    def valid(self) -> Sequence[Item]:
        """Return whole recordings of held-out speakers or of ``valid_noisy``, augmented, but all with speech."""
        return PairSet.open(self._split["valid"], self.sample_rate).whole(self.mixing.for_validation())

    def test(self) -> Sequence[Item]:
        """Return whole recordings of ``test_noisy``, or of the speakers that ``test_fraction`` keeps; as they are."""
        if self.test_fraction:
            return PairSet.open(self._split["test"], self.sample_rate).whole()
        return test_items(self.test_noisy, self.test_clean, self.sample_rate, "test_fraction")

    def pairs(self, split: Split) -> list[Pair]:
        """List the files of a split; an empty list if there is no test set."""
        if split == "test" and self.test_noisy is not None:
            return list_pairs(self.test_noisy, self.test_clean)
        return self._split[split]

    def _groups(self, pairs: Sequence[Pair]) -> list[str]:
        """Return the group of each pair that stays together: its speaker, or of too few speakers the pair alone."""
        takers = []
        if self.valid_noisy is None:
            takers.append("validation")
        if self.test_fraction:
            takers.append("the test")
        for groups in ([pair.speaker for pair in pairs], [pair.id for pair in pairs]):
            if len(set(groups)) > len(takers):
                return groups
        take = "takes" if len(takers) == 1 else "take"
        expected = f"one more, as {' and '.join(takers)} {take} some"
        raise InputError(self.noisy, f"holds too few recordings ({len(pairs)})", expected)

    @cached_property
    def _split(self) -> dict[Split, list[Pair]]:
        """Pairs by the split that they belong to, those of ``test_noisy`` left out."""
        apart = within((self.test_noisy, self.test_clean, self.valid_noisy, self.valid_clean))
        pairs = [one for one in list_pairs(self.noisy, self.clean, self.manifest) if not apart(one.noisy)]
        groups = self._groups(pairs)
        valid = held_out(groups, round(1 / self.valid_fraction)) if self.valid_noisy is None else set[str]()
        tested = held_out(groups, round(1 / self.test_fraction), valid) if self.test_fraction else set[str]()
        split: dict[Split, list[Pair]] = {"train": [], "valid": [], "test": []}
        for pair, group in zip(pairs, groups, strict=True):
            split[split_of(group, valid, tested)].append(pair)
        if not split["train"]:
            found = f"leaves nothing to train on: validation and the test take all {len(set(groups))} speakers or files"
            raise InputError(self.noisy, found, "smaller valid_fraction and test_fraction, or more recordings")
        if self.valid_noisy is not None:
            split["valid"] = list_pairs(self.valid_noisy, self.valid_clean, self.manifest)
        return split
