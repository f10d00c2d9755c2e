"""Write the page on which the default student is heard: its scores on a test set, and three recordings of it.

    python benchmarks/listening.py data/corpus/pairs/voicebank-demand-test docs/listen.html

The three are not picked by ear: those whose STOI the student raises most, by the median, and least.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sordino
from sordino.assets import DEFAULT_STUDENT
from sordino.audio.sound_files import read_mono
from sordino.evaluation.score import Scores
from sordino.report.pages.runs import Example, write_page
from sordino.report.runs import RunRow

RATE = 16000
METRICS = ["pesq_wb", "stoi", "estoi", "si_sdr_db", "composite", "dnsmos"]
CHOSEN = ("least", "by the median", "most")
SOURCE = """<p>The recordings are pairs of VoiceBank-DEMAND (C. Valentini-Botinhao, University of Edinburgh 2017,
<a href="https://doi.org/10.7488/ds/2117">doi 10.7488/ds/2117</a>, CC BY 4.0). They took no part in training, nor in any
choice of a network.</p>"""


def main() -> None:
    """Score, choose three recordings, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="a folder with noisy/ and clean/")
    parser.add_argument("out", type=Path, help="the page, .html")
    given = parser.parse_args()
    folders = (given.pairs / "noisy", given.pairs / "clean")
    noisy = sordino.evaluate(None, folders, metrics=METRICS, sample_rate=RATE)
    student = sordino.evaluate(DEFAULT_STUDENT, folders, metrics=METRICS, sample_rate=RATE)
    examples = [example(given.pairs, name, words) for name, words in chosen(noisy, student)]
    rows = [RunRow.of(noisy), RunRow.of(student)]
    write_page(given.out, f"Listen to {DEFAULT_STUDENT}", rows, examples=examples, closing={"Source": SOURCE})


def chosen(noisy: Scores, student: Scores) -> list[tuple[str, str]]:
    """Return the names of three recordings, and what is said of each."""
    before = {row["id"]: row["stoi"] for row in noisy.rows}
    gains = sorted((row["stoi"] - before[row["id"]], str(row["id"])) for row in student.rows)
    three = gains[0], gains[len(gains) // 2], gains[-1]
    return [
        (name, f"{name}: STOI raised {words}, by {100 * gain:+.1f} %")
        for (gain, name), words in zip(three, CHOSEN, strict=True)
    ]


def example(pairs: Path, name: str, words: str) -> Example:
    """Return a recording as it was, as the student makes it, and clean."""
    noisy, clean = (read_mono(next((pairs / side).glob(f"{name}.*")), RATE) for side in ("noisy", "clean"))
    waves = {"noisy": noisy, DEFAULT_STUDENT: sordino.enhance(noisy, RATE), "clean": clean}
    return Example(id=words, sample_rate=RATE, waves=waves)


if __name__ == "__main__":
    main()
