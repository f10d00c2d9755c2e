"""What a student is bad at: its gain over the noisy input by kind of noise, by speech, by ratio and by sample rate.

Speech and noise are held-out files of a recipe's corpus, which no student was trained on; the noise is mixed to the
speech without further augmentation. All mixtures are made from the names of files alone: the same on every machine.

    python benchmarks/weak_spots.py benchmarks/real/default.yaml dualpath-24 dualpath-14 unet-24 \\
        --out benchmarks/results/weak-spots.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from paired import machine

import sordino
from sordino.audio.mix import fit_noise, mix, rms_db
from sordino.audio.sound_files import read_mono, resample
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import worse_files
from sordino.experiments.build import build_source
from sordino.experiments.recipe import read_data
from sordino.files import write_text
from sordino.inference.enhance import enhance
from sordino.inference.model import open_model
from sordino.report.table import Table, write_tables
from sordino.types import Item

RATE, NARROW = 16000, 8000
SECONDS = 6.0
"""The longest part of an utterance that is used."""
UTTERANCES = 3
"""Of each corpus of speech."""
TALKERS = 3
"""Voices of babble."""
USUAL_DB = 5.0
RATIOS_DB = (-5.0, 5.0, 15.0, 25.0)
STRENGTH_DB = 12.0
"""A limit of the attenuation, beside none."""
METRICS = ("pesq_wb", "stoi", "si_sdr_db")
SPEECH = {
    "cmu_arctic": "English, CMU ARCTIC",
    "commonvoice-hsb": "Upper Sorbian, Common Voice",
    "librispeech": "English, LibriSpeech",
    "speechocean762": "English of Chinese speakers, speechocean762",
    "vctk": "English, VCTK",
}
FEW = 5
"""Kinds of noise that a card names."""
BABBLE = "babble of three voices"


class Mixture(NamedTuple):
    """A mixture, and what it is made of."""

    item: Item
    clean: np.ndarray
    """The item's reference, [T]."""
    speech: str
    noise: str
    snr_db: float


class Gain(NamedTuple):
    """What a model gains over the noisy input, on average over a group of mixtures."""

    name: str
    files: int
    stoi: float
    pesq: float
    si_sdr_db: float
    worse: int
    """Files whose STOI it lowers."""

    def cells(self) -> list[str]:
        """Return the cells of a row."""
        figures = [f"{100 * self.stoi:+.1f}", f"{self.pesq:+.2f}", f"{self.si_sdr_db:+.1f}"]
        return [self.name, str(self.files), *figures, str(self.worse)]


class Corpus(NamedTuple):
    """The held-out part of a corpus."""

    speech: dict[str, list[np.ndarray]]
    """Corpus -> utterances, float32 [T] each."""
    noise: dict[str, np.ndarray]
    """Kind -> a recording, float32 [T]."""


def main() -> None:
    """Read the words typed, score every model, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="whose held-out speech and noise are mixed")
    parser.add_argument("models", nargs="+", help="names of students, or files")
    parser.add_argument("--out", type=Path, help="Markdown file to write; printed when left out")
    given = parser.parse_args()
    corpus = held_out(given.recipe)
    tables = []
    for model in given.models:
        tables += tables_of(model, corpus)
    text = write_tables(tables, "markdown") + f"\n{machine()}\n"
    if given.out is None:
        print(text)
    else:
        write_text(given.out, text)


def held_out(recipe: str) -> Corpus:
    """Read the first utterances of each corpus, of different speakers, and a recording of each kind of noise."""
    source: Any = build_source(read_data(recipe))
    speech_files, noise_files = source.files
    spoken: dict[str, dict[str, Path]] = {}
    for path, split in speech_files:
        if split == "valid":
            corpus = path.relative_to(source.clean).parts[0]
            spoken.setdefault(corpus, {}).setdefault(path.parent.name, path)
    speech = {}
    for corpus, by_speaker in sorted(spoken.items()):
        speech[SPEECH.get(corpus, corpus)] = [_read(path) for path in list(by_speaker.values())[:UTTERANCES]]
    noise: dict[str, np.ndarray] = {}
    for path, split in noise_files:
        kind = path.parent.name.replace("_", " ")
        if split == "valid" and kind not in noise:
            noise[kind] = read_mono(path, RATE)
    return Corpus(speech, noise)


def _read(path: Path) -> np.ndarray:
    return read_mono(path, RATE)[: int(SECONDS * RATE)]


def mixed(corpus: Corpus, ratios_db: Iterable[float], utterances: int = UTTERANCES) -> list[Mixture]:
    """Mix the first utterances of each corpus with each kind of noise, and with babble, at each ratio in dB."""
    mixtures = []
    for snr_db, (name, voices) in product(ratios_db, corpus.speech.items()):
        for number, clean in enumerate(voices[:utterances]):
            noises = {**corpus.noise, BABBLE: _babble(corpus, name, len(clean))}
            for kind, noise in noises.items():
                noisy, reference, _ = mix(clean, fit_noise(noise, len(clean)), snr_db)
                identity = f"{name} {number} + {kind} @ {snr_db:g} dB"
                mixtures.append(Mixture(Item(noisy, reference, len(noisy), identity), reference, name, kind, snr_db))
    return mixtures


def _babble(corpus: Corpus, name: str, length: int) -> np.ndarray:
    """Add up the last voices of other corpora than ``name``, at equal levels: float32 [length]."""
    others = [voices[-1] for other, voices in corpus.speech.items() if other != name]
    babble = np.zeros(length, np.float32)
    for voice in others[:TALKERS]:
        babble += fit_noise(voice, length) * np.float32(10 ** (-rms_db(voice) / 20))
    return babble


def tables_of(model: str, corpus: Corpus) -> list[Table]:
    """Score a model, and make a table for each way to group the mixtures."""
    usual, ratios = mixed(corpus, [USUAL_DB]), mixed(corpus, RATIOS_DB, utterances=1)
    before, after = scored(None, usual), scored(model, usual)
    by_noise = gains(before, after, usual, lambda one: one.noise)
    by_noise.sort(key=lambda gain: gain.stoi)
    by_speech = gains(before, after, usual, lambda one: one.speech)
    before = scored(None, ratios)
    by_ratio = gains(before, scored(model, ratios), ratios, lambda one: f"{one.snr_db:g} dB")
    limited = f"strength {STRENGTH_DB:g} dB"
    by_ratio += gains(before, scored(gentle(model), ratios), ratios, lambda one: f"{one.snr_db:g} dB, {limited}")
    tables = []
    for label, rows in (("noise", by_noise), ("speech", by_speech), ("ratio", by_ratio)):
        header = [label, "files", "Δ STOI (%)", "Δ PESQ", "Δ SI-SDR (dB)", "STOI lower"]
        tables.append(replace(Table.of(header, [gain.cells() for gain in rows]), title=f"{model}: by {label}"))
    return [*tables, _by_rate(model, mixed(corpus, [USUAL_DB], utterances=1))]


def weaknesses(model: str, recipe: str) -> str:
    """Describe in a sentence what a model is bad at, for its card."""
    corpus = held_out(recipe)
    usual, quiet = mixed(corpus, [USUAL_DB]), mixed(corpus, RATIOS_DB[-1:], utterances=1)
    by_noise = gains(scored(None, usual), scored(model, usual), usual, lambda one: one.noise)
    by_noise.sort(key=lambda gain: gain.stoi)
    least = ", ".join(f"{gain.name} ({100 * gain.stoi:+.1f} %)" for gain in by_noise[:FEW])
    before = scored(None, quiet).values("stoi")
    alone, limited = (worse_files(scored(which, quiet).values("stoi"), before) for which in (model, gentle(model)))
    return (
        f"of {len(by_noise)} kinds of held-out noise, at {USUAL_DB:g} dB, it raises STOI least with {least}; "
        f"where noise is {RATIOS_DB[-1]:g} dB below the speech it lowers STOI on {alone} of {len(quiet)} "
        f"mixtures, with --strength {STRENGTH_DB:g} on {limited}"
    )


def gentle(model: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model with a limit of its attenuation, as a function at ``RATE``."""
    return partial(enhance, sample_rate=RATE, model=open_model(model, 1), strength_db=STRENGTH_DB)


def scored(model: Any, mixtures: Sequence[Mixture]) -> Scores:
    """Score a model, or the noisy input for None, on mixtures."""
    return sordino.evaluate(model, [one.item for one in mixtures], metrics=METRICS, workers=0, sample_rate=RATE)


def gains(before: Scores, after: Scores, mixtures: Iterable[Mixture], key: Callable[[Mixture], str]) -> list[Gain]:
    """Compare scores with those of the noisy input, for each group of mixtures of which ``key`` says the same."""
    groups: dict[str, list[str]] = {}
    for one in mixtures:
        groups.setdefault(key(one), []).append(one.item.id)
    found = []
    for name, ids in groups.items():
        rise = {}
        for column in METRICS:
            old, new = before.values(column), after.values(column)
            rise[column] = fmean(new[one] - old[one] for one in ids)
        old, new = before.values("stoi"), after.values("stoi")
        worse = worse_files({one: new[one] for one in ids}, old)
        found.append(Gain(name, len(ids), rise["stoi"], rise["pesq_wb"], rise["si_sdr_db"], worse))
    return found


def _by_rate(model: str, mixtures: Sequence[Mixture]) -> Table:
    """Compare mixtures at the model's rate with the same at 8 kHz, both by narrow-band PESQ."""
    rows = []
    for rate in (RATE, NARROW):
        items = []
        for one in mixtures:
            noisy, clean = resample(one.item.noisy, RATE, rate), resample(one.clean, RATE, rate)
            items.append(Item(noisy, clean, len(noisy), one.item.id))
        score = partial(sordino.evaluate, data=items, metrics=("pesq_nb", "stoi"), workers=0, sample_rate=rate)
        before, after = score(None).means(), score(model).means()
        rise = [f"{100 * (after['stoi'] - before['stoi']):+.1f}", f"{after['pesq_nb'] - before['pesq_nb']:+.2f}"]
        rows.append([f"{rate} Hz", str(len(items)), *rise])
    return replace(Table.of(["rate", "files", "Δ STOI (%)", "Δ PESQ-nb"], rows), title=f"{model}: by rate")


if __name__ == "__main__":
    main()
