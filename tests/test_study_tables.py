"""Tables of studies: rows, differences and intervals by hand, and the paper's figures beside ours."""

from __future__ import annotations

import csv

import pytest

from helpers.studies import BASELINE, fake, table
from sordino.errors import InputError
from sordino.evaluation.score import Scores
from sordino.evaluation.statistics import OVER_BOTH, OVER_FILES
from sordino.experiments import study_results
from sordino.experiments.study_plan import ScoredSet
from sordino.report.paper import results
from sordino.report.studies import study_rows
from sordino.report.study_cells import NetworkSize, StudyCell


def test_lines_by_hand() -> None:
    scores = {StudyCell("a", "none"): [fake(1.0), fake(2.0)], StudyCell("a", "kd"): [fake(2.0), fake(4.0)]}
    plain, taught = study_rows(scores, "none")
    assert (plain.spreads["pesq_wb"].mean, plain.spreads["pesq_wb"].std) == pytest.approx((2.5, 0.5**0.5))
    assert plain.differences == {}
    # All files differ alike, so that the interval is that of two means of two seeds, of variances 0.5 and 2 (Welch): t
    # of (0.25 + 1)^2 / (0.25^2 + 1^2) = 1.47 degrees of freedom.
    half = 6.188115 * (0.5 / 2 + 2 / 2) ** 0.5
    assert taught.differences["pesq_wb"] == pytest.approx((3, 1.5, 1.5 - half, 1.5 + half), rel=1e-6)
    assert plain.summaries["pesq_wb"].mean == pytest.approx(2.5)
    found = {"here": [plain, taught]}
    assert "+1.50 [-5.42, 8.42]" in table(found, against="none")
    assert "over files and seeds (t with Satterthwaite's" in table(found, against="none", note="Mind row kd.")
    assert "Mind row kd." in table(found, against="none", note="Mind row kd.")
    (row,) = (row for row in csv.DictReader(table(found, "csv").splitlines()) if row["method"] == "kd")
    assert float(row["pesq_wb_low"]) < float(row["pesq_wb"]) < float(row["pesq_wb_high"])
    single = study_rows({cell: runs[:1] for cell, runs in scores.items()}, "none")
    assert "95 % interval over files (Student's t" in table({"": single}, against="none")
    assert "over 2 seed(s), on 3 file(s)" in table(found)
    assert "here" not in table(found)
    assert r"\toprule" in table(found, "latex", "none")
    with pytest.raises(InputError, match="no finished run"):
        table({"here": []})


def test_a_table_for_each_test_set_with_the_papers_figures_beside_ours() -> None:
    (row,) = (row for row in results(1) if row.name == BASELINE)
    cell = StudyCell("a", "none")
    first = study_rows({cell: [fake(1.0)]}, None, {cell: NetworkSize(1500.0, 2e9)}, {cell: row})
    second = study_rows({cell: [fake(3.0, files=2)]}, None)
    found = {"first": first, "second": second}
    one, two = table(found, "markdown").split("**second**")
    assert one.startswith("**first**")
    header, _, figures = (line.strip("|").split("|") for line in one.splitlines()[2:5])
    assert dict(zip(map(str.strip, header), map(str.strip, figures), strict=True)) == {
        "Scenario": "a",
        "Method": "none",
        "Params (K)": "1.5",
        "Params (K), printed": "260.0",
        "FLOPs, paper (G)": "2.00",
        "FLOPs, paper (G), printed": "1.46",
        "Seeds": "1",
        "PESQ-wb": "2.00",
        "PESQ-wb, printed": "2.88",
    }
    assert "Interspeech 2022" in one
    assert "824 utterances" in one
    assert "printed" not in two
    assert "on 2 file(s)" in two
    rows = list(csv.DictReader(table(found, "csv").splitlines()))
    assert [row["test"] for row in rows] == ["first", "second"]
    assert [row["pesq_wb_printed"] for row in rows] == ["2.88", ""]
    assert "% second" in table(found, "latex")


def test_the_paper_stands_beside_what_its_names_say() -> None:
    cells = [
        StudyCell("a", "none"),
        StudyCell("b", "none"),
        StudyCell("b", "kd"),
        StudyCell("", "big (teacher)"),
        StudyCell("", "noisy"),
    ]
    rows = {"none": BASELINE, "b/none": "MANNER-S-5.3GF (Baseline)", "big (teacher)": "MANNER-B-Teacher"}
    first, second = (study_results.printed(rows, ScoredSet(paper=table), cells) for table in (1, 2))
    assert {cell: row.name for cell, row in first.items()} == dict(
        zip(cells[:2] + cells[3:4], rows.values(), strict=True)
    )
    assert {row.means["pesq_wb"] for row in second.values()} == {2.47, 2.70}  # table 2 has another teacher
    assert study_results.printed(rows, ScoredSet(), cells) == {}


def test_a_figure_that_one_side_lacks_has_no_difference() -> None:
    failed = Scores([{"id": "0"}], ("pesq_wb",))
    more = Scores([{"id": "0", "pesq_wb": 1.0, "stoi": 0.5}], ("pesq_wb", "stoi"))
    none, kd = study_rows({StudyCell("a", "none"): [failed], StudyCell("a", "kd"): [fake(1.0), more]}, "none")
    assert none.spreads == {}
    assert list(kd.spreads) == ["pesq_wb"]
    assert kd.differences == {}
    assert "±" in table({"": [none, kd]}, against="none")


def test_means_that_lack_files_say_so() -> None:
    rows = [{"id": str(i), **({"pesq_wb": 2.0 + i} if i > 0 else {})} for i in range(3)]
    cells = {StudyCell("a", "none"): [fake(1.0)], StudyCell("a", "kd"): [Scores(rows, ("pesq_wb",)), fake(1.0, 2)]}
    none, kd = study_rows(cells, "none")
    assert (none.files, kd.files, kd.summaries["pesq_wb"].n) == (3, 3, 1)
    text = table({"": [none, kd]}, against="none")
    assert "Not on all files, so that only Δ compares: a kd, PESQ-wb: on 1 of 3 files." in text
    assert "Not on all files" not in table({"": [none]}, against="none")


@pytest.mark.parametrize(
    ("seeds", "wanted", "other"),
    [
        ({"a": (1, 1)}, OVER_FILES, OVER_BOTH),
        ({"a": (2, 2)}, f"with its {OVER_BOTH}.", OVER_FILES),
        ({"a": (1, 1), "b": (2, 2)}, f"with its {OVER_BOTH}; of one seed against one, its {OVER_FILES}.", "A single"),
        ({"a": (3, 1)}, f"with its {OVER_BOTH}. A single seed against several counts as varying", OVER_FILES),
    ],
)
def test_intervals_are_called_what_they_are(seeds: dict[str, tuple[int, int]], wanted: str, other: str) -> None:
    cells = {
        StudyCell(scenario, method): [fake(1.0 + seed) for seed in range(count)]
        for scenario, counts in seeds.items()
        for method, count in zip(("none", "kd"), counts, strict=True)
    }
    text = table({"": study_rows(cells, "none")}, against="none")
    assert wanted in text
    assert other not in text
