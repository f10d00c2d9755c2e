"""How far models are apart on the same files: by hand, as a table, in CSV and JSON, on pages and the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from helpers.corpora import write_pairs
from helpers.graphs import held_back
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import paired
from sordino.experiments.side_by_side import side_by_side
from sordino.report.differences import compared, difference_table
from sordino.report.pages.runs import write_page
from sordino.report.runs import RunRow, run_table


def scores(pesq: dict[str, float], lag: float | None = None) -> Scores:
    rows = []
    for name, value in pesq.items():
        row = {"id": name, "speaker": "", "seconds": 1.0, "pesq_wb": value}
        rows.append(row if lag is None else row | {"si_sdr_db": value + lag})
    return Scores(rows, ("pesq_wb",) if lag is None else ("pesq_wb", "si_sdr_db"))


NOISY = scores({"a": 1.0, "b": 2.0, "c": 3.0, "d": 2.0}, 1.0)
BETTER = scores({"a": 1.5, "b": 2.7, "c": 3.4, "d": 2.6}, 3.0)
PART = scores({"a": 0.5, "b": 1.2, "c": 2.4})
ROWS = [RunRow.of(NOISY, "noisy"), RunRow.of(BETTER, "better"), RunRow.of(PART, "part"), RunRow("printed", {})]


def test_each_row_is_compared_file_by_file_with_the_named_one() -> None:
    rows = compared(ROWS, "noisy")
    assert [row.against for row in rows] == ["noisy"] * 4
    assert rows[0].differences == rows[3].differences == {}
    assert rows[1].differences["pesq_wb"] == paired(BETTER.values("pesq_wb"), NOISY.values("pesq_wb"))
    assert rows[1].differences["pesq_wb"].mean == pytest.approx(0.55)
    assert rows[1].differences["si_sdr_db"].mean == pytest.approx(2.55)
    assert list(rows[2].differences) == ["pesq_wb"], "it has no score of the other metric"
    assert (rows[2].differences["pesq_wb"].n, rows[2].differences["pesq_wb"].mean) == (3, pytest.approx(-19 / 30))
    with pytest.raises(InputError, match="no scores of printed; expected noisy, better, part, printed"):
        compared(ROWS, "printed")


def test_the_table_has_a_row_for_each_metric_and_a_column_for_each_model() -> None:
    lines = difference_table(compared(ROWS, "noisy")).to_markdown().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Above noisy", "better", "part"]
    assert [row[0] for row in cells[2:4]] == ["PESQ-wb", "SI-SDR (dB)"]
    low, high = (getattr(paired(BETTER.values("pesq_wb"), NOISY.values("pesq_wb")), end) for end in ("low", "high"))
    assert cells[2][1] == f"+0.55 [{low:.2f}, {high:.2f}]"
    assert cells[2][2].startswith("-0.63 [")
    assert cells[3][2] == "–"
    assert "Not on all 4 files: part, PESQ-wb: on 3." in lines
    with pytest.raises(InputError, match="there are none"):
        difference_table(ROWS)


def test_csv_json_and_the_page_have_the_differences(tmp_path: Path) -> None:
    rows = compared(ROWS[:2], "noisy")
    table = run_table(rows)
    assert "Δ" not in table.to_text(), "they have a table of their own"
    noisy, better = csv.DictReader(io.StringIO(table.to_csv()))
    assert float(better["pesq_wb_difference"]) == pytest.approx(0.55)
    assert float(better["pesq_wb_difference_low"]) < 0.55 < float(better["pesq_wb_difference_high"])
    assert noisy["pesq_wb_difference"] == ""
    assert json.loads(json.dumps(rows[1].as_json()))["differences"]["pesq_wb"]["n"] == 4
    write_page(tmp_path / "page.html", "two", rows)
    assert "Above noisy" in (tmp_path / "page.html").read_text("utf-8")
    write_page(tmp_path / "page.html", "two", ROWS[:2])
    assert "Above noisy" not in (tmp_path / "page.html").read_text("utf-8")


def test_the_command_line_compares_with_the_model_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=1, each=2)
    late = str(held_back(tmp_path / "late.onnx", 256))
    given = ["--data", noisy, clean, "--metrics", "si_sdr_db", "--workers", "0", "--against", late]
    main(["evaluate", "noisy", late, *given])
    table = capsys.readouterr().out
    assert "Above late" in table
    assert "+0.00 [" in table or "-0.00 [" in table, "the graph changes nothing"
    main(["evaluate", "noisy", late, *given, "--style", "csv"])
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 2


def test_a_model_that_is_not_in_the_table_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    folders = (str(tmp_path / "none"), str(tmp_path / "none"))
    with pytest.raises(InputError, match="--against: quiet is not in the table; expected one of noisy, unet-24"):
        side_by_side(["noisy", "unet-24"], folders, against="quiet")
    with pytest.raises(InputError, match="--against: noisy is the only model; expected two or more"):
        side_by_side(["noisy"], folders, against="noisy")
