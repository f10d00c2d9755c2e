"""What each command calls: from parsed arguments to an answer, given twice, as a value for ``--json`` and as text."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sotto.errors import InputError
from sotto.terminal import Display

if TYPE_CHECKING:
    from sotto.evaluate.efficiency import Cost

Answer = tuple[Any, str]


def enhance(given: Namespace) -> Answer:
    from sotto.enhance import enhance_file, enhance_folder, open_model

    if given.stream:
        return _stream(given)
    for option in ("rate", "channels", "format", "block_ms", "low_delay"):
        if getattr(given, option) is not None:
            raise InputError(f"--{option.replace('_', '-')}", "is for streams alone", do="add --stream")
    if not {None, "-"}.isdisjoint((given.input, given.output)):
        do = "add --stream for standard input and output"
        raise InputError("sotto enhance", "nothing to read, or nowhere to write to", "INPUT -o OUTPUT", do)
    source, target = Path(given.input), Path(given.output)
    if not source.is_dir():
        report = enhance_file(source, target, given.model)
        return report, f"{report['output']}: {report['seconds']:.2f} s at {report['sample_rate']} Hz{_turned(report)}"
    count = len(_audio(source))
    reports = []
    with Display() as show:
        for report in enhance_folder(source, target, open_model(given.model)):
            reports.append(report)
            show("enhancing", len(reports), count)
    failed = [report for report in reports if "error" in report]
    text = f"{target}: {len(reports) - len(failed)} files" + "".join(f"\n{report['error']}" for report in failed)
    return {"files": reports, "failed": len(failed), "ok": not failed}, text


def _stream(given: Namespace) -> Answer:
    """Standard input to standard output; what is written is at once with whoever reads it, hence no buffer."""
    from sotto.stream import enhance_stream

    for name in (given.input, given.output):
        if name not in (None, "-"):
            raise InputError(name, "is a name", "a stream", "write sotto enhance --stream < noisy.wav > clean.wav")
    for file, name in ((sys.stdin, "standard input"), (sys.stdout, "standard output")):
        if file.isatty():
            raise InputError(name, "is a terminal", "sound", "write < noisy.wav > clean.wav, or use a pipe")
    with (
        open(sys.stdin.fileno(), "rb", closefd=False) as source,
        open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as target,
    ):
        block_s = 0.02 if given.block_ms is None else given.block_ms / 1000
        raw = given.rate, given.channels, given.format
        report = enhance_stream(source, target, given.model, *raw, block_s, low_delay=bool(given.low_delay), threads=1)
    text = f"{report['seconds']:.2f} s at {report['sample_rate']} Hz, latency {report['latency_s'] * 1000:.1f} ms"
    if timing := report["timing"]:
        times = "p50 {p50_ms:.2f}, p95 {p95_ms:.2f}, p99 {p99_ms:.2f}, longest {max_ms:.2f} ms".format(**timing)
        text += f", blocks of {report['block_s'] * 1000:g} ms: {times}"
        text += f", RTF {timing['real_time_factor']:.3f}"
    return report, text + (f", {report['clipped']} samples clipped" if report["clipped"] else "")


def _audio(folder: Path) -> list[Path]:
    from sotto.audio.io import list_audio

    files = list_audio(folder)
    if not files:
        raise InputError(folder, "holds no audio files", do="name a file, or a folder with audio in it")
    return files


def _turned(report: dict[str, Any]) -> str:
    return f", turned down by {-report['gain_db']:.1f} dB to avoid clipping" if report["gain_db"] < 0 else ""


def models(_given: Namespace) -> Answer:
    from sotto.shelf import shipped

    cards = shipped()
    lines = [f"{name}  {card['parameters'] / 1e6:.2f} M parameters  {card['summary']}" for name, card in cards.items()]
    return cards, "\n".join(lines)


def train(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    if given.dry_run:
        tried = recipes.dry_run(given.recipe, given.overrides)
        return tried, _tried(tried)
    with Display() as show:
        outcome = recipes.train(given.recipe, given.overrides, given.out, given.resume, show)
    value = asdict(outcome) | {"checkpoint": str(outcome.checkpoint)}
    best = "" if outcome.best_pesq is None else f", best validation PESQ {outcome.best_pesq:.3f} at {outcome.best_step}"
    return value, f"{outcome.checkpoint}: {outcome.steps} steps in {outcome.seconds:.0f} s{best}"


def study(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import study

    with Display() as show:
        lines, text = study.run(given.study, show)
    return [asdict(line) for line in lines], text


def _tried(tried: dict[str, Any]) -> str:
    lines = [f"{name:24} {value:.4g} at the start" for name, value in tried["terms"].items()]
    hours = tried["seconds_per_step"] * tried["steps"] / 3600
    learnt = f", and {tried['learnt']:,} of the methods" if tried["learnt"] else ""
    lines.append(f"trains {tried['parameters']:,} parameters of the student{learnt}")
    lines.append(f"{tried['steps']} steps, about {hours:.2g} hours here; validation, save and resume work")
    return "\n".join(lines)


def evaluate(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    folders = tuple(given.data) if given.data else None
    with Display() as show:
        scores = recipes.evaluate(
            given.model,
            folders,
            given.recipe,
            given.split,
            given.metrics,
            given.out,
            given.workers,
            show,
            given.align,
            given.sample_rate,
            given.model_rate,
        )
    failures = "".join(f"\n{one.id}: no {one.metric}: {one.reason}" for one in scores.failures)
    value = {"metadata": scores.metadata, "means": scores.means(), "rows": scores.rows}
    return value | {"failures": [asdict(one) for one in scores.failures]}, scores.table() + failures


def bench(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import benchmark
    from sotto.evaluate.efficiency import as_json, notes, table

    if (given.model is None) != given.all:
        raise InputError("bench", "both a model and --all" if given.all else "no model", "MODEL, or --all")
    if not given.all:
        cost = benchmark.bench(
            given.model, given.seconds, given.repeats, given.threads, not given.counts, given.model_rate
        )
        return asdict(cost), _costs(cost)
    with Display() as show:
        lines = benchmark.bench_all(given.seconds, given.repeats, given.threads, not given.counts, show)
    told = notes(lines, given.seconds)
    return {"models": [as_json(line) for line in lines], "notes": told}, "\n".join([table(lines, given.style), *told])


def _costs(cost: Cost) -> str:
    """What one model costs, a figure a line; what is not known says so, and what was not measured is left out."""

    def show(value: float | None, unit: float, form: str) -> str:
        return "unknown" if value is None else form.format(value / unit)

    lines = [
        cost.name if cost.arguments is None else f"{cost.name} {cost.arguments}",
        f"parameters               {show(cost.parameters, 1, '{:,.0f}')}",
        f"FLOPs, paper (4 s)       {show(cost.flops_paper, 1e9, '{:.2f} G')}",
        f"multiply-accumulates     {show(cost.macs_per_second, 1e9, '{:.3f} G per second of audio')}",
    ]
    if cost.file_bytes is not None:
        lines.append(f"file                     {cost.file_bytes / 1e6:.2f} MB")
    if cost.speed is not None:
        speed = cost.speed
        spread = f"({speed.fastest:.4f} to {speed.slowest:.4f}), {speed.threads} thread(s)"
        lines.append(f"real-time factor         {speed.median:.4f} {spread}")
    if cost.speed is not None and cost.peak_memory_bytes is not None:
        lines.append(f"peak memory              {cost.peak_memory_bytes / 2**20:.0f} MiB for {cost.speed.seconds:g} s")
    return "\n".join(lines)


def report(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto.comparison import compare
    from sotto.evaluate.report import table

    with Display() as show:
        rows, published = compare(given.runs, given.output, given.paper, given.examples, show)
    value = {"rows": [asdict(row) for row in rows], "paper": [row._asdict() for row in published]}
    return value, table(rows, given.style, published, intervals=given.intervals)


def export(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    parity = recipes.export(given.checkpoint, given.output, given.licence)
    text = f"{given.output}: differs from the network by at most {parity.largest_difference:.1e} on speech"
    return asdict(parity) | {"output": given.output}, text


def demo(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto.demo import demo

    with Display() as show:
        return demo(given.out, show)


def check(given: Namespace) -> Answer:
    from sotto.data.check import check
    from sotto.metrics import measure as score

    def measure(clean: np.ndarray, noisy: np.ndarray, sample_rate: int) -> dict[str, float]:
        return score(clean, noisy, sample_rate, ("pesq_wb", "stoi"), "shorter").values

    if given.measure:
        _needs_training_tier()
    with Display() as show:
        report = check(
            given.root,
            given.sample_rate,
            measure if given.measure else None,
            given.measure,
            fix=given.fix,
            progress=lambda done, total: show("checking", done, total),
        )
    return report, _checked(report)


def _checked(report: dict[str, Any]) -> str:
    """A corpus check as text: what is there, every problem, and what the noisy test set scores."""
    lines = [f"{report['root']}: {report['layout']}, {report['files']} files, {report['seconds'] / 3600:.2f} h"]
    lines += [
        f"  {part['split']:8} {part['entries']:6} entries {part['seconds'] / 60:8.1f} min" for part in report["parts"]
    ]
    lines += [f"{problem['kind']}: {problem['path']}: {problem['detail']}" for problem in report["problems"]]
    measured = report["measured"] or {"means": {}, "off": []}
    lines += [f"noisy input, {name}: {mean:.3f} over {measured['count']}" for name, mean in measured["means"].items()]
    lines += measured["off"]
    found = ", ".join(f"{count} {kind}" for kind, count in report["counts"].items())
    lines.append("nothing wrong" if report["ok"] else f"problems: {found}" if found else "the figures are off")
    return "\n".join(lines)


def prepare(given: Namespace) -> Answer:
    from sotto.data.prepare import prepare

    with Display() as show:
        result = prepare(
            given.root, given.out, given.sample_rate, given.workers, lambda done, total: show("preparing", done, total)
        )
    lines = [f"{given.out}: {result.written} files written, {result.present} there before, {len(result.failed)} failed"]
    lines += [f"{path}: {reason}" for path, reason in result.failed]
    lines += [f"{path}: turned down by {-gain_db:.1f} dB to avoid clipping" for path, gain_db in result.turned_down]
    return asdict(result) | {"ok": not result.failed}, "\n".join(lines)


def _needs_training_tier() -> None:
    """Say in one line what is missing, where the package was installed for use only."""
    import importlib.util

    missing = [name for name in ("torch", "lightning_fabric", "pesq") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError("sotto", f"this command needs {', '.join(missing)}", do="run pip install 'sotto[train]'")
