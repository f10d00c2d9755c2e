"""``sordino data``: corpora checked, prepared, rendered and put into shards."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordino.assets import recipes
from sordino.cli.base import Answer, Command, Flag, flag
from sordino.cli.progress import Display
from sordino.errors import InputError, needs_training_tier
from sordino.report.table import Table

if TYPE_CHECKING:
    import numpy as np

    from sordino.data.tools.pool import Written

SAMPLE_RATE, MEASURED = 16000, 50


def check(given: Namespace) -> Answer:
    if not Path(given.root).is_dir():
        is_recipe = given.root.endswith((".yaml", ".yml")) or given.root in recipes() or Path(given.root).is_file()
        if is_recipe:
            return _check_recipe(given)
    if given.overrides:
        raise InputError(given.overrides[0], f"changes a recipe, and {given.root} is none", "a recipe to check")
    count = MEASURED if given.measure is None else given.measure
    from sordino.data.tools.check import check
    from sordino.metrics import measure as score

    def measure(clean: np.ndarray, noisy: np.ndarray, sample_rate: int) -> dict[str, float]:
        return score(clean, noisy, sample_rate, ("pesq_wb", "stoi"), "shorter").values

    if count:
        needs_training_tier()
    rate = SAMPLE_RATE if given.sample_rate is None else given.sample_rate
    with Display() as show:
        report = check(given.root, rate, measure if count else None, count, fix=given.fix, progress=show)
    return report, _checked(report)


def _check_recipe(given: Namespace) -> Answer:
    needs_training_tier()
    for option in ("fix", "measure", "sample_rate"):
        if getattr(given, option) is not None:
            name = "--" + option.replace("_", "-")
            raise InputError(name, "is for a corpus", "a folder", "name the folder of the corpus")
    from sordino.experiments.data_check import check_data
    from sordino.experiments.recipe import read_data

    with Display() as show:
        report = check_data(read_data(given.root, given.overrides), show)
    lines = [f"{given.root}: {report['source']}"]
    lines += ["  {key}: {path}, {files} files".format(**folder) for folder in report["folders"]]
    lines.append(_parts(report["parts"], "items", ("speakers", "noises")))
    lines += [f"warning: {warning}" for warning in report["warnings"]]
    lines += report["problems"] or ["every recording can be read"]
    return report, "\n".join(lines)


def _checked(report: dict[str, Any]) -> str:
    """A corpus check as text: what is there, every problem, and what the noisy test set scores."""
    lines = [f"{report['root']}: {report['layout']}, {report['files']} files, {report['seconds'] / 3600:.2f} h"]
    lines.append(_parts(report["parts"], "entries"))
    lines += [f"{problem['kind']}: {problem['path']}: {problem['detail']}" for problem in report["problems"]]
    measured = report["measured"]
    if measured:
        for name, mean in measured["means"].items():
            lines.append(f"noisy input, {name}: {mean:.3f} over {measured['count']}")
        lines += measured["off"]
    counts = ", ".join(f"{count} {kind}" for kind, count in report["counts"].items())
    if report["ok"]:
        lines.append("nothing wrong")
    elif counts:
        lines.append(f"problems: {counts}")
    else:
        lines.append("the scores differ from the published ones")
    return "\n".join(lines)


def _parts(parts: Sequence[Mapping[str, Any]], what: str, counted: Sequence[str] = ()) -> str:
    """Return the parts of the data as a table.

    Args:
        parts: training, validation and test, as mappings.
        what: key of the number of recordings in a part, such as ``items``; also its heading.
        counted: keys whose values are counted; a part may lack them.
    """
    rows = []
    for part in parts:
        counts = [len(part.get(key, ())) or "" for key in counted]
        rows.append([part["split"], part[what], f"{part['seconds'] / 60:.1f}", *counts])
    return Table.of(["part", what, "minutes", *counted], rows).write("text").rstrip("\n")


def prepare(given: Namespace) -> Answer:
    from sordino.data.tools.prepare import prepare

    with Display() as show:
        result = prepare(given.root, given.out, given.sample_rate, given.workers, given.damaged, show)
    value, text = _written(given, result, "files", "failed")
    for path, gain_db in result.turned_down:
        text += f"\n{path}: turned down by {-gain_db:.1f} dB to avoid clipping"
    return value, text


def render(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.data.tools.render import render
    from sordino.experiments.build import build_source
    from sordino.experiments.recipe import plain, read_data

    data = read_data(given.recipe, given.overrides)
    source, stated = build_source(data), plain({"name": data.name, **data.arguments})
    with Display() as show:
        result = render(
            source,
            given.out,
            given.hours,
            given.seed,
            given.noisy_only,
            given.workers,
            given.damaged,
            stated,
            show,
        )
    return _written(given, result, "mixtures", "failed")


def shard(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.data.tools.shard import shard
    from sordino.experiments.build import build_source
    from sordino.experiments.recipe import read_data

    source = build_source(read_data(given.recipe, given.overrides))
    with Display() as show:
        result = shard(source, given.out, given.per_shard, given.workers, given.damaged, show)
    return _written(given, result, "shards", "recordings left out")


def _written(given: Namespace, result: Written, what: str, missing: str) -> Answer:
    """Return the answer of a tool that writes files: their number, and a line for each failure."""
    counts = f"{result.written} {what} written, {result.present} there before, {len(result.failed)} {missing}"
    lines = [f"{given.out}: {counts}", *(f"{name}: {reason}" for name, reason in result.failed)]
    return asdict(result) | {"ok": not result.failed}, "\n".join(lines)


def _damaged(default: str) -> Flag:
    explained = f"refuse a recording that cannot be read, or skip and report it (default {default})"
    return flag("--damaged", choices=("refuse", "skip"), default=default, help=explained)


RECIPE = flag("recipe", help="a YAML file with a section data, or the name of a shipped recipe")
OUT = flag("out", help="the folder to write to")
WORKERS = flag("--workers", type=int, help="number of processes; one per core by default")

CHECK = Command(
    check,
    (
        flag("root", help="a corpus (Valentini, DNS, noisy/ and clean/, or clean/ and noise/), or a recipe"),
        flag("--sample-rate", type=int, help=f"expected sample rate in Hz (default {SAMPLE_RATE})"),
        flag("--measure", type=int, help=f"number of test pairs for PESQ and STOI (default {MEASURED}; 0: none)"),
        flag("--fix", metavar="CSV", help="write a manifest without the faulty entries; audio files are not changed"),
    ),
    "Find files that are unreadable, without a partner, of the wrong length or rate, silent, clipped or duplicated,\n"
    "and test speakers in the training set. With a recipe: open its data as a run does, read its validation and test\n"
    "recordings, and count their speakers and noises; key=value changes the recipe.",
    lambda: "examples:\n  sordino data check data/valentini\n  sordino data check mine.yaml",
)

PREPARE = Command(
    prepare,
    (
        flag("root", help="the corpus as downloaded"),
        OUT,
        flag("--sample-rate", type=int, default=16000, help="sample rate in Hz (default 16000)"),
        WORKERS,
        _damaged("skip"),
    ),
    "Resample every file, in parallel. Run it again to continue after a stop.",
    lambda: "example:\n  sordino data prepare downloads/valentini data/valentini",
)

RENDER = Command(
    render,
    (
        RECIPE,
        OUT,
        flag("--hours", type=float, required=True, help="hours of training mixtures"),
        flag("--seed", type=int, default=0, help="seed of the random draws (default 0)"),
        flag("--noisy-only", action="store_true", help="no clean training files, for label-free distillation"),
        WORKERS,
        _damaged("refuse"),
    ),
    "Write the mixtures of a recipe to files in noisy/, clean/ and valid/, which the source pairs reads, in parallel.\n"
    "key=value changes the recipe, such as data.root=FOLDER. Run it again to continue after a stop.",
    lambda: "example:\n  sordino data render dns/manner-s-1.5gf data/dns-50h --hours 50 data.segment_s=30",
)

SHARD = Command(
    shard,
    (
        RECIPE,
        OUT,
        flag("--per-shard", type=int, default=1000, help="recordings in each tar file (default 1000)"),
        WORKERS,
        _damaged("refuse"),
    ),
    "Write the recordings of a recipe's data as WebDataset tar files, in parallel; the source shards reads them.\n"
    "key=value changes the recipe, such as data.root=FOLDER. Run it again to continue after a stop.",
    lambda: "example:\n  sordino data shard valentini/manner-s-1.5gf data/valentini-shards",
)
