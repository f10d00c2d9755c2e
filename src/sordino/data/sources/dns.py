"""Source of the DNS Challenge's corpus (Interspeech 2020), mixed on the fly.

Reddy et al., "The INTERSPEECH 2020 Deep Noise Suppression Challenge: Datasets, Subjective Testing Framework, and
Challenge Results". Layout: ``datasets/clean``, ``datasets/noise``, optionally ``datasets/impulse_responses``, and the
test pairs ``test_set/synthetic/no_reverb/{clean,noisy}`` in the root or in ``datasets``, paired by ``fileid_N``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sordino.data.augmentation import DEFAULT, Augmentation
from sordino.data.sources.mix import Mix
from sordino.errors import InputError


class Dns(Mix):
    """DNS Challenge 2020: read speech and noise, mixed differently in every epoch, and the official synthetic test set.

    ``reader_N`` in the file names is the speaker; one in twenty is kept for validation.

    Args:
        root: folder that holds ``datasets`` and ``test_set``.
        snr_db: lowest and highest signal-to-noise ratio in dB, of all noise together, rumble included.
        level_db: lowest and highest RMS of the mixtures in dBFS; none keeps the speech at its own level.
        augment: further changes to speech, noise and mixture, as in ``mix``; none for nothing, as in the challenge's
            own synthesiser.
        hours: hours of mixtures in an epoch.
        segment_s: length of a training segment in seconds.
        tempo: slowest and fastest tempo of the speech, such as [0.9, 1.1]; none does not change it.
        babble: probability that the noise consists of 3 to 8 other talkers.
        reverb: probability that speech is reverberated by a room of ``datasets/impulse_responses``, in the reference as
            in the mixture; 0 needs no such folder.
        valid_items: number of validation mixtures.
        exclude: folders or files to leave out of clean and noise, by name or pattern.
        sample_rate: rate of every file in Hz.
        cache: keep decoded files in memory; only for a small part of the corpus.
        manifest: a manifest written by ``sordino data check --fix``; clean and noise files that it does not list are
            left out.
    """

    name = "dns"
    labels = "all"

    def __init__(
        self,
        root: str,
        snr_db: tuple[float, float] = (-5.0, 40.0),
        level_db: tuple[float, float] | None = (-60.0, -10.0),
        augment: Augmentation | Mapping[str, Any] | None = DEFAULT,
        hours: float = 50.0,
        segment_s: float = 4.0,
        tempo: tuple[float, float] | None = None,
        babble: float = 0.0,
        reverb: float = 0.0,
        valid_items: int = 100,
        exclude: tuple[str, ...] = (),
        sample_rate: int = 16000,
        cache: bool = False,
        manifest: str | None = None,
    ) -> None:
        if not hours > 0:
            raise InputError("hours", f"{hours}", "above 0")
        super().__init__(
            clean=str(Path(root) / "datasets" / "clean"),
            noise=str(Path(root) / "datasets" / "noise"),
            test_noisy=str(_test_set(root) / "noisy"),
            test_clean=str(_test_set(root) / "clean"),
            snr_db=snr_db,
            level_db=level_db,
            augment=augment,
            segment_s=segment_s,
            tempo=tempo,
            babble=babble,
            impulse_responses=str(Path(root) / "datasets" / "impulse_responses") if reverb else None,
            reverb=reverb,
            epoch_size=max(1, round(hours * 3600 / segment_s)) if segment_s > 0 else None,
            valid_items=valid_items,
            exclude=exclude,
            sample_rate=sample_rate,
            cache=cache,
            manifest=manifest,
        )


def _test_set(root: str) -> Path:
    below = Path("test_set") / "synthetic" / "no_reverb"
    inner = Path(root) / "datasets" / below
    return inner if inner.is_dir() else Path(root) / below
