"""One table in every style: what is escaped, what is missing, and what only programs read."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from sordino.errors import InputError, printable
from sordino.evaluation.score import Scores
from sordino.report.table import Cell, Style, Table, write_tables

DASH = "–"  # stands for a missing value
AWKWARD = r"a|b & 50% _x_ #1 $ {y} ~ ^ \z <b>"
TABLE = Table(
    {"model": "Model", "pesq": "PESQ", "stoi": "STOI", "n": "Files"},
    [
        {
            "model": Cell(AWKWARD),
            "pesq": Cell("2.94", "[2.90, 2.98]", 2.9412),
            "pesq_low": Cell(value=2.9),
            "stoi": Cell(),
            "n": Cell(),
        },
        {"model": Cell("none"), "n": Cell("0")},
    ],
    ["Means over files.", "A < B & C"],
)


class Reader(HTMLParser):
    """Collects the tags of a table and the text of its cells, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and data.strip():
            self.rows[-1][-1] += data


def test_text_is_aligned_with_intervals_beside_figures_and_notes_below() -> None:
    header, rule, first, second, blank, *notes = TABLE.to_text().splitlines()
    assert re.split(r"\s{2,}", header) == ["Model", "PESQ", "Files"]
    assert set(rule) == {"-", " "}
    assert first.startswith(AWKWARD)
    assert "2.94 [2.90, 2.98]" in first
    assert re.split(r"\s{2,}", second) == ["none", DASH, "0"]
    assert len(header) == len(rule) == len(first) == len(second)
    assert (blank, notes) == ("", ["Means over files.", "A < B & C"])


def test_figures_are_written_as_they_were_given() -> None:
    table = Table.of(["id", "figure"], [["007", "1.50"], ["1e3", "+2"], ["x", ""]])
    assert [line.split() for line in table.to_text().splitlines()[2:]] == [["007", "1.50"], ["1e3", "+2"], ["x", DASH]]


def test_markdown_keeps_its_columns_whatever_a_name_holds() -> None:
    named = Table.of(["a|b", "n"], [["one\ntwo | three", 1]]).to_markdown().splitlines()
    assert len(named) == 3
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in named)
    assert r"one two \| three" in named[2]
    assert TABLE.to_markdown().splitlines()[1].endswith(":|")  # figures to the right
    assert TABLE.to_markdown().endswith("\n\nMeans over files.\n\nA < B & C\n")


def test_every_line_of_a_note_is_a_comment_in_latex() -> None:
    latex = Table({"a": "A"}, [{"a": Cell("1")}], ["one\n\\input{x}"], "Two\nlines").to_latex()
    assert latex.startswith("% Two\n% lines\n% one\n% \\input{x}\n\\begin")


def test_latex_specials_are_escaped_and_signs_can_be_set() -> None:
    text = TABLE.to_latex()
    assert text.startswith("% Means over files.\n% A < B & C\n\\begin{tabular}{lrr}\n\\toprule")
    for escaped in (r"\&", r"50\%", r"\_x\_", r"\#1", r"\$", r"\{y\}", r"\textbackslash{}z"):
        assert escaped in text
    row = next(line for line in text.splitlines() if "2.94" in line)
    assert len(re.findall(r"(?<!\\)&", row)) == 2
    assert not re.findall(r"(?<!\\)[%#$_]", row)
    assert "--" in text.splitlines()[-4]  # the dash of a missing value
    signs = Table.of(["Δ PESQ", "†"], [["2.9 ± 0.1", DASH]]).to_latex()
    assert signs.isascii()
    assert r"$\Delta$ PESQ" in signs
    assert r"2.9 $\pm$ 0.1" in signs


def test_csv_is_unrounded_and_leaves_missing_values_empty() -> None:
    first, second = csv.DictReader(io.StringIO(TABLE.to_csv()))
    assert list(first) == ["model", "pesq", "pesq_low", "stoi", "n"]
    assert first == {"model": AWKWARD, "pesq": "2.9412", "pesq_low": "2.9", "stoi": "", "n": ""}
    assert second == {"model": "none", "pesq": "", "pesq_low": "", "stoi": "", "n": "0"}


def test_a_zero_and_a_false_are_values() -> None:
    table = Table({"n": "Files"}, [{"n": Cell("0", value=0), "synthetic": Cell(value=False)}])
    assert table.to_csv() == "n,synthetic\n0,False\n"


def test_html_is_escaped_and_readable_by_ear() -> None:
    text = TABLE.to_html()
    assert "<b>" not in text
    assert '<p class="note">A &lt; B &amp; C</p>' in text
    assert 'aria-label="Table"' in text
    assert Reader(text).rows == [["Model", "PESQ", "Files"], [AWKWARD, "2.94[2.90, 2.98]", DASH], ["none", DASH, "0"]]
    assert re.findall(r'<th scope="row">(.*?)</th>', text)[1] == "none"
    assert "<small>[2.90, 2.98]</small>" in text


def test_html_groups_rows_under_headings() -> None:
    rows = [{"kind": Cell(kind), "name": Cell(name)} for kind, name in (("", "noisy"), ("A&B", "one"), ("A&B", "two"))]
    table = Table({"kind": "Kind", "name": "Name"}, rows, group="kind", missing="")
    reader = Reader(table.to_html())
    assert reader.rows == [["Name"], ["noisy"], ["A&B"], ["one"], ["two"]]
    assert reader.tags.count("tbody") == 2
    assert table.to_html().count('scope="rowgroup"') == 1
    assert table.to_text().splitlines()[0].split() == ["Kind", "Name"]


def test_what_nobody_has_is_not_shown_unless_it_must_be() -> None:
    assert "STOI" not in TABLE.to_text()
    kept = Table({"a": "A", "b": "B"}, [{"a": Cell("x"), "b": Cell()}], complete=True)
    assert kept.to_text().splitlines()[2].split() == ["x", DASH]


def test_several_tables_are_one_document_and_one_csv() -> None:
    other = Table({"model": "Model", "snr": "SNR"}, [{"model": Cell("o"), "snr": Cell("1.0", value=1.03)}])
    named = [replace(TABLE, title="first"), replace(other, title="second")]
    one, two = write_tables(named, "markdown").split("**second**")
    assert one.startswith("**first**\n\n| Model")
    assert "1.0" in two
    assert write_tables(named, "latex").count("% first") == 1
    rows = list(csv.DictReader(io.StringIO(write_tables(named, "csv"))))
    assert [row["snr"] for row in rows] == ["", "", "1.03"]
    assert rows[2]["pesq"] == ""


def test_columns_stand_in_the_order_of_their_labels() -> None:
    rows = [{"name": Cell("first"), "b": Cell("1")}, {"name": Cell("second"), "extra": Cell("x"), "a": Cell("2")}]
    table = Table({"name": "Name", "a": "A", "b": "B"}, rows)
    assert table.to_text().splitlines()[0].split() == ["Name", "A", "B"]
    assert table.to_csv().splitlines() == ["name,b,extra,a", "first,1,,", "second,,x,2"]


def test_columns_of_one_name_keep_their_own_entries() -> None:
    table = Table.of(["Case", "ms", "ms"], [["x", 1, 2]])
    assert table.to_text().splitlines()[0].split() == ["Case", "ms", "ms"]
    assert table.to_csv().splitlines()[1] == "x,1,2"


def test_styles_are_written_by_name() -> None:
    written = {style: TABLE.write(style) for style in ("text", "markdown", "latex", "csv", "html")}
    assert len(set(written.values())) == 5
    assert all(text.endswith("\n") for text in written.values())
    with pytest.raises(InputError, match="no table style 'pdf'"):
        TABLE.write("pdf")  # pyright: ignore[reportArgumentType]


NASTY = "=cmd()|[x](http:y)<img src=x>\x1b[31m\u202e\udcff"


def test_a_name_is_text_and_neither_formula_nor_markup_nor_a_command_to_the_terminal() -> None:
    figure = Cell("-1.5", value=-1.5)
    names = (NASTY, "@x", "+1", "-y", "-", "a=b")
    rows = [{"name": Cell(name), "gain": figure, "given": Cell("-2.0")} for name in names]
    table = Table({"name": "Name", "gain": "=gain", "given": "Given"}, rows, [NASTY], NASTY)
    for style in get_args(Style):
        assert not re.search("[\x1b\u202e\udcff]", table.write(style)), style
    assert table.to_text().count("=cmd()") == 3
    read = list(csv.reader(io.StringIO(table.to_csv())))
    assert [row[0] for row in read[1:]] == [f"'{printable(NASTY)}", "'@x", "+1", "'-y", "'-", "a=b"]
    assert {tuple(row[1:]) for row in read[1:]} == {("-1.5", "-2.0")}
    markdown = table.to_markdown()
    assert markdown.count("&lt;img src=x>") == 3
    assert "](" not in markdown
    assert "<img" not in table.to_html()


def test_scores_in_csv_hold_no_formula(tmp_path: Path) -> None:
    Scores([{"id": "=1+1", "speaker": "-s", "seconds": 1.0, "snr_db": -3.5}], ("snr_db",)).to_csv(tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[1] == "'=1+1,'-s,1.0,-3.5"
