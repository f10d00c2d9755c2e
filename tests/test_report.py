"""Tables, and the paper's figures as data."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.shares import Failure
from sordino.report import paper
from sordino.report.columns import SYNTHETIC
from sordino.report.runs import RunRow, run_table
from sordino.report.scores import score_table

STUDENT = RunRow(
    "MANNER-S-1.5GF + MV-AT",
    means={"pesq_wb": 2.9412, "stoi": 0.9417, "csig": 4.31},
    intervals={"pesq_wb": (2.9, 2.98)},
    n=824,
    params=262_000,
    flops_paper=1.4597e9,
)
RESULTS = [
    STUDENT,
    RunRow("50% & more_", {"pesq_wb": 2.0}, n=824, failures=2),
    RunRow("noisy", {"pesq_wb": 1.97}, n=824),
]


def test_the_text_table_has_noisy_first_and_scaled_units():
    lines = run_table(RESULTS).to_text().splitlines()
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


def test_the_parameters_of_small_networks_are_not_rounded_to_nothing() -> None:
    lines = run_table([RunRow("tiny", {}, params=3100), RunRow("large", {}, params=24_070_000)]).to_text().splitlines()
    assert re.split(r"\s{2,}", lines[0])[:2] == ["Model", "Params (K)"]
    assert [re.split(r"\s{2,}", line)[1] for line in lines[2:4]] == ["3.1", "24070.0"]


def test_intervals_stand_beside_means_on_demand():
    assert "[2.90, 2.98]" not in run_table(RESULTS).to_text()
    assert "2.94 [2.90, 2.98]" in run_table(RESULTS, intervals=True).to_markdown()


def test_markdown_and_latex_are_escaped():
    rows = run_table([RunRow("a|b", {"pesq_wb": 1.0})]).to_markdown().splitlines()
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)
    latex = run_table(RESULTS).to_latex()
    assert r"50\% \& more\_" in latex
    assert r"\begin{tabular}{lrrrrrrr}" in latex
    assert latex.count(r"\\") == 4


def test_csv_is_unrounded_and_in_base_units():
    rows = list(csv.DictReader(io.StringIO(run_table(RESULTS).to_csv())))
    student = next(row for row in rows if row["name"] == STUDENT.name)
    assert float(student["pesq_wb"]) == 2.9412
    assert float(student["pesq_wb_low"]) == 2.9
    assert float(student["params"]) == 262_000
    assert next(row for row in rows if row["name"] == "noisy")["stoi"] == ""
    assert not any(name.startswith(("si_sdr_db", "dnsmos", "estoi")) for name in student), "nobody measured them"
    assert student["synthetic"] == "False"


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_synthetic_data_is_named(style):
    assert SYNTHETIC not in run_table(RESULTS).write(style)
    assert SYNTHETIC in run_table([RunRow("demo", {"pesq_wb": 2.0}, synthetic=True)]).write(style)


def test_a_table_says_on_how_many_files_a_model_is_worse_than_the_noisy_input() -> None:
    def scores(name: str, *stoi: float) -> Scores:
        rows = [{"id": str(index), "stoi": value, "si_sdr_db": 1.0} for index, value in enumerate(stoi)]
        return Scores(rows, ("stoi", "si_sdr_db"), [], {"model": name})

    noisy = scores("noisy", 0.5, 0.9, 0.7)
    rows = [RunRow.of(noisy), RunRow.of(scores("tiny", 0.8, 0.85, 0.69), noisy=noisy)]
    assert rows[1].worse == {"stoi": 2, "si_sdr_db": 0}
    assert "tiny: worse than the noisy input in STOI on 2 of 3 files." in run_table(rows).to_text()
    (_, tiny) = csv.DictReader(io.StringIO(run_table(rows).to_csv()))
    assert (tiny["stoi_worse"], tiny["si_sdr_db_worse"]) == ("2", "0")
    assert "worse than" not in run_table([RunRow.of(scores("alone", 0.1, 0.1, 0.1))]).to_text()


def test_means_side_by_side_are_over_the_same_files() -> None:
    infinite = Failure("c", "si_sdr_db", "the ratio is infinite")
    noisy = Scores([{"id": "a", "si_sdr_db": 1.0}, {"id": "b", "si_sdr_db": 3.0}, {"id": "c"}], ("si_sdr_db",))
    noisy = replace(noisy, failures=[infinite], metadata={"model": "noisy"})
    better = [{"id": name, "si_sdr_db": value, "stoi": 0.9} for name, value in (("a", 5.0), ("b", 7.0), ("c", 90.0))]
    rows = [RunRow.of(noisy), RunRow.of(Scores(better, ("stoi", "si_sdr_db"), [], {"model": "tiny"}))]
    table = run_table(rows)
    first, second = (re.split(r"\s{2,}", line) for line in table.to_text().splitlines()[2:4])
    assert (first[2], second[2]) == ("2.00", "6.00")
    assert second[1] == "90.0", "the noisy row was not asked for STOI, and leaves nothing out of it"
    note = "SI-SDR: means over the 2 of 3 files that every row has scored; 1 left out, such as c"
    assert f"{note} (noisy: the ratio is infinite)." in table.to_text()
    assert "STOI: means" not in table.to_text()
    _, tiny = csv.DictReader(io.StringIO(table.to_csv()))
    assert (float(tiny["si_sdr_db"]), tiny["si_sdr_db_n"]) == (34.0, "3")
    assert rows[1].as_json()["counts"] == {"stoi": 3, "si_sdr_db": 3}
    assert "scores" not in rows[1].as_json()


def test_where_no_file_is_common_no_mean_is_shown() -> None:
    rows = [RunRow.of(Scores([{"id": name, "stoi": 0.5}], ("stoi",), [], {"model": name})) for name in "ab"]
    text = run_table(rows).to_text()
    assert "50.0" not in text
    assert "STOI: no means, as no file is scored in every row; 2 left out, such as a." in text


def test_a_row_without_any_score_of_a_metric_is_named_and_leaves_no_file_out() -> None:
    silent = [Failure(name, "stoi", f"{name} is silent") for name in "ab"]
    mute = Scores([{"id": name} for name in "ab"], ("stoi",), silent, {"model": "mute"})
    scored = Scores([{"id": name, "stoi": 0.5} for name in "ab"], ("stoi",), [], {"model": "tiny"})
    text = run_table([RunRow.of(scored), RunRow.of(mute)]).to_text()
    assert "50.0" in text
    assert "mute has no stoi of any file: a is silent (a)." in text
    assert "left out" not in text


def test_a_table_shows_every_metric_that_was_asked_for() -> None:
    heads = (
        run_table([RunRow("narrow", {"pesq_nb": 3.0, "si_sdr_120_db": 9.0, "segsnr_db": 5.0})])
        .to_text()
        .splitlines()[0]
    )
    assert "PESQ-nb" in heads
    assert "SI-SDR >120 Hz" in heads
    assert "SegSNR" not in heads, "what CSIG, CBAK and COVL are computed from"


def test_the_printed_figures_stand_beside_those_measured():
    mine = RunRow("mine", {"pesq_wb": 3.0}, params=0.92e6, paper="TSTNN")
    lines = run_table([*RESULTS, mine], paper=paper.results(1)).to_text()
    header, student, own = (re.split(r"\s{2,}", lines.splitlines()[row]) for row in (0, 3, 5))
    at = header.index("PESQ-wb, printed")
    assert student[at - 1 : at + 1] == ["2.94", "2.94"]
    assert own[at - 1 : at + 1] == ["3.00", "2.96"]
    assert own[header.index("FLOPs, paper (G), printed")] == "166.54"
    assert "SI-SDR (dB), printed" not in header
    assert "824 utterances" in lines
    assert "mine, printed: FLOPs column counts every operation" in lines


def test_a_result_sums_scores_up():
    rows = [{"id": str(index), "speaker": "", "seconds": 1.0, "snr_db": float(index)} for index in range(5)]
    result = RunRow.of(Scores(rows, ("snr_db",), [], {"model": "tiny", "synthetic": True}), params=10)
    assert (result.name, result.n, result.synthetic, result.params) == ("tiny", 5, True, 10)
    assert result.means == {"snr_db": 2.0}
    assert result.intervals["snr_db"][0] < 2 < result.intervals["snr_db"][1]
    assert result.deviations["snr_db"] == pytest.approx(2.5**0.5)
    (row,) = csv.DictReader(io.StringIO(run_table([result]).to_csv()))
    assert float(row["snr_db_std"]) == pytest.approx(2.5**0.5)


def test_a_single_file_has_a_mean_and_no_deviation() -> None:
    scores = Scores([{"id": "a", "speaker": "", "seconds": 1.0, "snr_db": 3.0}], ("snr_db",))
    assert scores.summary()["snr_db"] == (1, 3.0, None, None, None)
    (row,) = csv.DictReader(io.StringIO(score_table(scores).to_csv()))
    assert (float(row["mean"]), row["std"]) == (3.0, "")
    assert RunRow.of(scores).deviations == {"snr_db": None}


def test_a_table_needs_results_and_a_known_style():
    with pytest.raises(InputError, match="there are none"):
        run_table([])
    with pytest.raises(InputError, match="markdown"):
        run_table(RESULTS).write("pdf")  # pyright: ignore[reportArgumentType]


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
    assert "not causal" in by_name["1", "DEMUCS-L"].note
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


def test_the_speed_of_torch_is_not_compared_with_that_of_onnxruntime_in_silence() -> None:
    exported, trained = replace(STUDENT, name="a", rtf=0.01), replace(STUDENT, name="b", rtf=0.02, in_torch=True)
    assert "b: timed in torch; once exported to ONNX it is faster" in run_table([exported, trained]).write("text")
    for alike in ([exported], [trained]):
        assert "timed in torch" not in run_table(alike).write("text")
