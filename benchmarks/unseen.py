"""Is it the data that a student lacks? Its scores on speech and noise that trained it, and on what did not.

A network that has learned its recordings by heart is better on them than on others. But some recordings are harder than
others for every network. So each student is compared with a network that was trained elsewhere, on the same mixtures:
if its lead over that one is smaller on unseen recordings, that is what more recordings could bring.

    python benchmarks/unseen.py benchmarks/real/default.yaml dualpath-24 dualpath-14 \\
        --beside ul-unas:ulunas_stream_simple.onnx gtcrn:gtcrn_simple.onnx

The first of ``--beside`` is the one to compare with. Mixtures are whole utterances with noise at the ratios of a noisy
place, without further augmentation, and depend on the names of the files alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paired import machine

import sordino
from sordino.data.augmentation import NOTHING
from sordino.data.mixer import Mixer
from sordino.data.mixing import Mixing
from sordino.data.names import speaker_of
from sordino.data.pairs import Split
from sordino.data.recordings import Recordings
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import paired, worse_files
from sordino.experiments.build import build_source
from sordino.experiments.recipe import read_data
from sordino.files import write_text
from sordino.metrics import look_of
from sordino.report.table import Table, write_tables
from sordino.types import Item

RATE = 16000
MIXTURES = 72
RATIOS_DB = (-2.0, 16.0)
LEVELS_DB = (-35.0, -20.0)
SETS: list[tuple[Split, Split]] = [("train", "train"), ("valid", "train"), ("train", "valid"), ("valid", "valid")]
"""Of which split the speech and the noise are."""
WORDS = {"train": "seen", "valid": "unseen"}
COLUMNS = {column: look_of(column) for column in ("pesq_wb", "stoi", "estoi", "si_sdr_db", "covl", "dnsmos_ovrl")}
HARMED = ("stoi", "si_sdr_db")
METRICS = ("pesq_wb", "stoi", "estoi", "si_sdr_db", "composite", "dnsmos")


def main() -> None:
    """Parse the command line, score every model, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="whose speech and noise are mixed, and which of them trained the students")
    parser.add_argument("models", nargs="+", help="names of students, or files")
    parser.add_argument("--beside", nargs="+", required=True, help="networks that were trained elsewhere")
    parser.add_argument("--mixtures", type=int, default=MIXTURES, help="of each set")
    parser.add_argument("--out", type=Path, help="Markdown file to write; printed when left out")
    given = parser.parse_args()
    source: Any = build_source(read_data(given.recipe))
    sets = {seen: mixtures(source, *seen, given.mixtures) for seen in SETS}
    other = [scored(given.beside[0], items) for items in sets.values()]
    tables = []
    for model in given.models:
        title = f"How far {model} is ahead of {given.beside[0]}"
        scores = [scored(model, items) for items in sets.values()]
        tables.append(replace(differences(scores, other), title=title))
    tables.append(means([*given.models, *given.beside], sets["valid", "valid"]))
    text = write_tables(tables, "markdown") + f"\n{machine()}\n"
    if given.out is None:
        print(text)
    else:
        write_text(given.out, text)


def mixtures(source: Any, speech_split: Split, noise_split: Split, count: int) -> Sequence[Item]:
    """Mix ``count`` utterances of one split with noise of another; the kinds of noise take turns."""
    speech_files, noise_files = source.files
    speech = [path for path, split in speech_files if split == speech_split]
    noise = [path for path, split in noise_files if split == noise_split]
    mixer = Mixer(
        Recordings(speech, RATE, cache=False),
        [speaker_of(path, source.clean) for path in speech],
        [path.stem for path in speech],
        Recordings(noise, RATE, cache=False),
        [path.stem for path in noise],
        RATE,
        Mixing(RATIOS_DB, LEVELS_DB, augment=NOTHING),  # with None, the kinds of noise do not take turns
        noise_kinds=[path.parent.name for path in noise],
    )
    return mixer.valid(count)


def scored(model: str | None, items: Sequence[Item]) -> Scores:
    """Score a model, or the noisy input for None, on mixtures."""
    return sordino.evaluate(model, items, metrics=METRICS, sample_rate=RATE)


def differences(model: Sequence[Scores], other: Sequence[Scores]) -> Table:
    """Compare the scores of a model with those of another on each of ``SETS``, with 95 % intervals over files."""
    rows = []
    for (speech, noise), scores, other_scores in zip(SETS, model, other, strict=True):
        cells = [WORDS[speech], WORDS[noise]]
        for column, look in COLUMNS.items():
            difference = paired(scores.values(column), other_scores.values(column))
            cells.append(f"{look.show(difference.mean)} [{look.show(difference.low)}, {look.show(difference.high)}]")
        rows.append(cells)
    return Table.of(["speech", "noise", *(look.label for look in COLUMNS.values())], rows)


def means(models: Sequence[str], items: Sequence[Item]) -> Table:
    """Show what the noisy input and every model score, and on how many mixtures a model is worse than the input."""
    before = scored(None, items)
    rows = []
    for model in (None, *models):
        after = before if model is None else scored(model, items)
        figures = after.means()
        cells = [look.show(figures[column]) for column, look in COLUMNS.items()]
        cells += [str(worse_files(after.values(column), before.values(column))) for column in HARMED]
        rows.append([model or "noisy input", *cells])
    labels = [look.label for look in COLUMNS.values()]
    harmed = [f"{COLUMNS[column].short_label} lower" for column in HARMED]
    table = Table.of(["model", *labels, *harmed], rows)
    return replace(table, title=f"Unseen speech with unseen noise, {len(items)} mixtures")


if __name__ == "__main__":
    main()
