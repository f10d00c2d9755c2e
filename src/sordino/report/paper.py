"""The figures that the MV-AT paper prints (Shin et al., tables 1 to 3), to stand beside measured ones."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from sordino.errors import InputError


class PaperRow(NamedTuple):
    """One row of one table of the paper."""

    table: str
    name: str
    test_set: str
    params: float | None
    """Parameters; None where the table has no such column."""
    flops_paper: float | None
    """Floating-point operations on 4 s of audio, as the paper counts them."""
    means: dict[str, float]
    """Metric column (``pesq_wb``, ``stoi`` as a fraction, ``csig``, ``cbak``, ``covl``) to figure."""
    note: str = ""


def results(table: str | int = "1") -> list[PaperRow]:
    """Return the rows of one table, in the paper's order.

    Args:
        table: "1" (Valentini), "2" (DNS, no reverberation) or "3" (ablation on Valentini).

    Raises:
        InputError: the paper has no such table.
    """
    content = _read()["tables"].get(str(table))
    if content is None:
        raise InputError("table", f"the paper has no table {table!r}", " or ".join(tables()))
    return [_row(str(table), content, name) for name in content["rows"]]


def tables() -> list[str]:
    """Return the names of the tables."""
    return list(_read()["tables"])


def source() -> str:
    """Return what to cite for these figures."""
    return _read()["source"]


def _row(table: str, content: dict[str, Any], name: str) -> PaperRow:
    figures = dict(zip(content["columns"], map(float, content["rows"][name]), strict=True))
    params, flops = figures.pop("params_m", None), figures.pop("flops_g", None)
    if "stoi_percent" in figures:
        figures["stoi"] = figures.pop("stoi_percent") / 100
    return PaperRow(
        table=table,
        name=name,
        test_set=content["test_set"],
        params=None if params is None else params * 1e6,
        flops_paper=None if flops is None else flops * 1e9,
        means=figures,
        note=content.get("row_notes", {}).get(name, ""),
    )


@cache
def _read() -> dict[str, Any]:
    import yaml

    return yaml.safe_load(files("sordino").joinpath("assets", "paper_results.yaml").read_text(encoding="utf-8"))
