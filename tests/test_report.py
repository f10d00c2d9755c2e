"""Tables, the paper's figures as data, and the page of results."""

from __future__ import annotations

import base64
import csv
import io
import re
import wave
from html.parser import HTMLParser

import numpy as np
import pytest

from sotto.errors import InputError
from sotto.evaluate import Scores, paper
from sotto.evaluate.page import write_page
from sotto.evaluate.report import SYNTHETIC, Result, table

STUDENT = Result(
    "MANNER-S-1.5GF + MV-AT",
    means={"pesq_wb": 2.9412, "stoi": 0.9417, "csig": 4.31},
    intervals={"pesq_wb": (2.9, 2.98)},
    n=824,
    params=262_000,
    flops_paper=1.4597e9,
)
RESULTS = [
    STUDENT,
    Result("50% & more_", {"pesq_wb": 2.0}, n=824, failures=2),
    Result("noisy", {"pesq_wb": 1.97}, n=824),
]


def test_the_text_table_has_noisy_first_and_scaled_units():
    lines = table(RESULTS).splitlines()
    assert lines[0].split("  ")[0] == "Model"
    assert lines[2].startswith("noisy")
    assert re.split(r"\s{2,}", lines[3]) == [
        "MANNER-S-1.5GF + MV-AT",
        "0.26",
        "1.46",
        "2.94",
        "94.2",
        "4.31",
        "824",
        "0",
    ]
    assert re.split(r"\s{2,}", lines[2]) == ["noisy", "–", "–", "1.97", "–", "–", "824", "0"]
    assert len({len(line) for line in lines}) == 1


def test_intervals_stand_beside_means_on_demand():
    assert "[2.90, 2.98]" not in table(RESULTS)
    assert "2.94 [2.90, 2.98]" in table(RESULTS, "markdown", intervals=True)


def test_markdown_and_latex_are_escaped():
    rows = table([Result("a|b", {"pesq_wb": 1.0})], "markdown").splitlines()
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)
    latex = table(RESULTS, "latex")
    assert r"50\% \& more\_" in latex
    assert r"\begin{tabular}{lrrrrrrr}" in latex
    assert latex.count(r"\\") == 4


def test_csv_is_unrounded_and_in_base_units():
    rows = list(csv.DictReader(io.StringIO(table(RESULTS, "csv"))))
    student = next(row for row in rows if row["name"] == STUDENT.name)
    assert float(student["pesq_wb"]) == 2.9412
    assert float(student["pesq_wb_low"]) == 2.9
    assert float(student["params"]) == 262_000
    assert student["si_sdr_db"] == ""
    assert student["synthetic"] == "False"


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_synthetic_data_is_told(style):
    assert SYNTHETIC not in table(RESULTS, style)
    assert SYNTHETIC in table([Result("demo", {"pesq_wb": 2.0}, synthetic=True)], style)


def test_the_printed_figures_stand_beside_ours():
    lines = table([*RESULTS, Result("ours", {"pesq_wb": 3.0}, params=0.92e6, paper="TSTNN")], paper=paper.results(1))
    header, student, ours = (re.split(r"\s{2,}", lines.splitlines()[row]) for row in (0, 3, 5))
    at = header.index("PESQ, printed")
    assert student[at - 1 : at + 1] == ["2.94", "2.94"]
    assert ours[at - 1 : at + 1] == ["3.00", "2.96"]
    assert ours[header.index("FLOPs, paper (G), printed")] == "166.54"
    assert "SI-SDR (dB), printed" not in header
    assert "824 utterances" in lines
    assert "ours, printed: FLOPs column counts every operation" in lines


def test_a_result_sums_scores_up():
    rows = [{"id": str(index), "speaker": "", "seconds": 1.0, "snr_db": float(index)} for index in range(5)]
    result = Result.of(Scores(rows, ("snr_db",), [], {"model": "tiny", "synthetic": True}), params=10)
    assert (result.name, result.n, result.synthetic, result.params) == ("tiny", 5, True, 10)
    assert result.means == {"snr_db": 2.0}
    assert result.intervals["snr_db"][0] < 2 < result.intervals["snr_db"][1]


def test_a_table_needs_results_and_a_known_style():
    with pytest.raises(InputError, match="there are none"):
        table([])
    with pytest.raises(InputError, match="markdown"):
        table(RESULTS, "html")


def test_the_paper_is_here_whole():
    rows = {number: paper.results(number) for number in ("1", "2", "3")}
    assert {number: len(found) for number, found in rows.items()} == {"1": 14, "2": 7, "3": 7}
    by_name = {(row.table, row.name): row for found in rows.values() for row in found}
    teacher = by_name["1", "MANNER-B-Teacher"]
    assert (teacher.params, teacher.flops_paper) == (24.07e6, 61.92e9)
    assert teacher.means == {"pesq_wb": 3.21, "stoi": 0.95, "csig": 4.53, "cbak": 3.65, "covl": 3.91}
    assert by_name["1", "MANNER-S-8.1GF + MV-AT + KD"].means["covl"] == 3.82
    assert by_name["1", "TSTNN"].note
    assert by_name["1", "DEMUCS-L"].flops_paper == 388.48e9
    assert by_name["2", "MANNER-S-5.3GF + MV-AT"].means["stoi"] == pytest.approx(0.961)
    assert by_name["2", "MANNER-S-Teacher"].test_set.startswith("DNS")
    assert by_name["3", "MV-AT † + KD"].means == {"pesq_wb": 2.95, "csig": 4.33, "cbak": 3.50, "covl": 3.66}
    assert by_name["3", "KD"].params is None
    assert "2208.10367" in paper.source()
    # Sums of whole columns, added up from the printed page.
    assert sum(row.means["pesq_wb"] for row in rows["1"]) == pytest.approx(42.34)
    assert sum(row.means["cbak"] for row in rows["2"]) == pytest.approx(24.48)
    with pytest.raises(InputError, match="no table"):
        paper.results("4")


class Reader(HTMLParser):
    """Collects elements and checks that every one is closed."""

    VOID = {"meta", "link", "br", "img"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    random = np.random.default_rng(0)
    waves = {
        name: (scale * random.standard_normal(4000)) for name, scale in (("noisy", 0.5), ("clean", 0.1), ("A<B", 0.1))
    }
    examples = [{"id": f"p_{index}", "sample_rate": 16000, "waves": waves} for index in range(2)]
    curves = {
        "alone": [{"step": step, "loss": 1 / (1 + step), "rate": 1e-3} for step in range(1000)],
        "taught": [
            {"step": step, "loss": 0.9, "kd/mvat": 0.1, "valid/pesq_wb": 2.0, "valid/note": "x"}
            for step in range(0, 1000, 100)
        ],
    }
    path = tmp_path_factory.mktemp("page") / "results.html"
    write_page(path, "Ours & <theirs>", [*RESULTS, Result("A<B", {"pesq_wb": 1.5})], curves, examples, synthetic=True)
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_stands_alone(page):
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert page.startswith("<!DOCTYPE html>")
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(names) == len(set(names)) > 0
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe", "image:href")
        for key in ("src", "href", "xlink:href"):
            assert re.match(r"data:|#", attributes.get(key) or "#"), attributes[key]
        if tag in ("svg", "audio"):
            assert attributes["aria-label"]
    assert not re.search(r"url\((?!#)|@import", page)
    inner = {name for name in re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", page) for name in name if name}
    assert inner <= set(names)


def test_the_page_shows_every_model_curve_and_player(page):
    reader = Reader()
    reader.feed(page)
    assert "<title>Ours &amp; &lt;theirs&gt;</title>" in page
    assert SYNTHETIC in page
    for result in RESULTS:
        assert f'<th scope="row">{result.name.replace("&", "&amp;")}</th>' in page
    assert "<small>[2.90, 2.98]</small>" in page
    players = [attributes["aria-label"] for tag, attributes in reader.elements if tag == "audio"]
    assert players == [f"p_{index}, {name}" for index in range(2) for name in ("noisy", "clean", "A<B")]
    figures = [attributes["aria-label"] for tag, attributes in reader.elements if tag == "svg"]
    assert sum(label.startswith("Spectrogram") for label in figures) == 6
    curves = [label for label in figures if "training steps" in label]
    assert [label.split()[0] for label in curves] == ["loss", "kd/mvat", "valid/pesq_wb"]
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_players_are_turned_down_together_and_not_clipped(page):
    sounds = [base64.b64decode(data) for data in re.findall(r"data:audio/wav;base64,([^\"]*)", page)][:3]
    levels = []
    for sound in sounds:
        with wave.open(io.BytesIO(sound)) as file:
            assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (16000, 4000, 2)
            levels.append(np.frombuffer(file.readframes(4000), "<i2").astype(float))
    assert np.abs(levels[0]).max() == 32767
    assert (np.abs(levels[0]) >= 32767).sum() == 1
    assert levels[0].std() / levels[1].std() == pytest.approx(5, rel=0.1)
    assert "turned down by" in page


def test_a_page_of_a_table_alone(tmp_path):
    write_page(tmp_path / "page.html", "Plain", RESULTS, paper=paper.results())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" not in text
    assert "<audio" not in text
    assert 'class="banner"' not in text
    assert "PESQ, printed" in text
    with pytest.raises(InputError, match="has no sound"):
        write_page(tmp_path / "other.html", "", RESULTS, examples=[{"id": "p", "sample_rate": 16000, "waves": {}}])
    assert not (tmp_path / "other.html").exists()
