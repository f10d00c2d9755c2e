"""Detect which kind of corpus a folder holds, by the names of its subfolders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sordino.audio.folders import demand_folder, list_audio
from sordino.errors import InputError

Kind = Literal["valentini", "dns", "pairs", "mix", "noisy"]


@dataclass(frozen=True)
class Part:
    """A folder of recordings, or two folders of pairs."""

    split: str
    noisy: Path | None
    clean: Path | None

    @property
    def paired(self) -> bool:
        return self.noisy is not None and self.clean is not None


@dataclass(frozen=True)
class Layout:
    """A corpus and its parts."""

    kind: Kind
    root: Path
    parts: tuple[Part, ...]


def detect(root: str | Path) -> Layout:
    """Detect the layout of a corpus.

    * valentini: ``noisy_trainset_28spk_wav`` and the other folders of VoiceBank-DEMAND;
    * dns: ``datasets/clean``, ``datasets/noise``, ``test_set/synthetic/no_reverb``;
    * pairs: ``noisy``, ``clean``;
    * mix: ``clean``, ``noise``; pairs and mix may have ``valid/`` and ``test/`` with ``noisy`` and ``clean`` inside;
    * noisy: sound files and none of these folders.

    A folder ``speech`` is taken for ``clean`` where there is no such folder.

    Raises:
        InputError: the folder is missing, or has none of these layouts.
    """
    root = Path(root)
    demand_folder(root)
    sets = ("trainset_28spk", "trainset_56spk", "testset")
    present = [name for name in sets if any((root / f"{side}_{name}_wav").is_dir() for side in ("noisy", "clean"))]
    if present:
        parts = [
            Part("test" if name == "testset" else "train", root / f"noisy_{name}_wav", root / f"clean_{name}_wav")
            for name in present
        ]
        return Layout("valentini", root, tuple(parts))
    if (root / "datasets" / "clean").is_dir():
        below = Path("test_set") / "synthetic" / "no_reverb"
        tests = [("test", root / below), ("test", root / "datasets" / below)]
        return Layout("dns", root, (*_to_mix(root / "datasets"), *_pairs(tests)))
    own = [("valid", root / "valid"), ("test", root / "test")]
    if (root / "noise").is_dir() and _clean(root).is_dir():
        return Layout("mix", root, (*_to_mix(root), *_pairs(own)))
    if (root / "noisy").is_dir() or _clean(root).is_dir():
        return Layout("pairs", root, (Part("train", root / "noisy", _clean(root)), *_pairs(own)))
    if not list_audio(root):
        raise InputError(root, "holds no sound files", "noisy/ and clean/, or clean/ and noise/, or recordings")
    return Layout("noisy", root, (Part("train", root, None),))


def _to_mix(folder: Path) -> tuple[Part, Part]:
    return Part("speech", None, _clean(folder)), Part("noise", folder / "noise", None)


def _clean(folder: Path) -> Path:
    """Return the folder of clean speech, which is often called speech."""
    speech = folder / "speech"
    return speech if speech.is_dir() and not (folder / "clean").is_dir() else folder / "clean"


def _pairs(homes: list[tuple[str, Path]]) -> list[Part]:
    return [Part(split, home / "noisy", home / "clean") for split, home in homes if home.is_dir()]
