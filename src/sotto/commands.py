"""The commands: their arguments, and what each calls. ``COMMANDS`` is the catalogue that the command line reads.

A command's ``run`` takes the parsed arguments and returns its answer twice: as a value for ``--json`` and as text.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sotto.errors import InputError
from sotto.terminal import Display

Answer = tuple[Any, str]
Flag = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """One command: its line in the overview, its help, its arguments and the function that runs it."""

    summary: str
    run: Callable[[Namespace], Answer]
    arguments: tuple[Flag, ...]
    description: str
    epilog: Callable[[], str] = str
    """Examples; a function, so that only the help that is asked for is put together."""


def _flag(*names: str, **options: Any) -> Flag:
    return names, options


def _enhance(given: Namespace) -> Answer:
    from sotto.enhance import enhance_file, enhance_folder, open_model

    source, target = Path(given.input), Path(given.output)
    if not source.is_dir():
        report = enhance_file(source, target, given.model)
        return report, f"{report['output']}: {report['seconds']:.2f} s at {report['sample_rate']} Hz{_turned(report)}"
    count = sum(1 for _ in _audio(source))
    reports = []
    with Display() as show:
        for report in enhance_folder(source, target, open_model(given.model)):
            reports.append(report)
            show("enhancing", len(reports), count)
    failed = [report for report in reports if "error" in report]
    text = f"{target}: {len(reports) - len(failed)} files" + "".join(f"\n{report['error']}" for report in failed)
    return {"files": reports, "failed": len(failed), "ok": not failed}, text


def _audio(folder: Path) -> list[Path]:
    from sotto.audio.io import list_audio

    files = list_audio(folder)
    if not files:
        raise InputError(folder, "holds no audio files", do="name a file, or a folder with audio in it")
    return files


def _turned(report: dict[str, Any]) -> str:
    return f", turned down by {-report['gain_db']:.1f} dB to avoid clipping" if report["gain_db"] < 0 else ""


def _models(_given: Namespace) -> Answer:
    from sotto.enhance import shipped

    cards = shipped()
    lines = [f"{name}  {card['parameters'] / 1e6:.2f} M parameters  {card['summary']}" for name, card in cards.items()]
    return cards, "\n".join(lines)


def _train(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    with Display() as show:
        outcome = recipes.train(given.recipe, given.overrides, given.out, given.resume, show)
    value = asdict(outcome) | {"checkpoint": str(outcome.checkpoint)}
    best = "" if outcome.best_pesq is None else f", best validation PESQ {outcome.best_pesq:.3f} at {outcome.best_step}"
    return value, f"{outcome.checkpoint}: {outcome.steps} steps in {outcome.seconds:.0f} s{best}"


def _evaluate(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    folders = tuple(given.data) if given.data else None
    with Display() as show:
        scores = recipes.evaluate(
            given.model, folders, given.recipe, given.split, given.metrics, given.out, given.workers, show
        )
    failures = "".join(f"\n{one.id}: no {one.metric}: {one.reason}" for one in scores.failures)
    value = {"metadata": scores.metadata, "means": scores.means(), "rows": scores.rows}
    return value | {"failures": [asdict(one) for one in scores.failures]}, scores.table() + failures


def _bench(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    value = recipes.bench(given.model, given.seconds, given.repeats, given.threads)
    speed = value["speed"]
    text = (
        f"{value['name']} {value['arguments']}\n"
        f"parameters               {value['parameters']:,}\n"
        f"FLOPs, paper (4 s)       {value['flops_paper'] / 1e9:.2f} G\n"
        f"multiply-accumulates     {value['macs_per_second'] / 1e9:.3f} G per second, on {given.seconds:g} s\n"
        f"real-time factor         {speed['median']:.4f} ({speed['fastest']:.4f} to {speed['slowest']:.4f}), "
        f"{given.threads} thread(s)\n"
        f"peak memory              {value['peak_memory_bytes'] / 2**20:.0f} MiB for {given.seconds:g} s"
    )
    return value, text


def _report(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto.comparison import compare
    from sotto.evaluate.report import table

    with Display() as show:
        rows, published = compare(given.runs, given.output, given.paper, given.examples, show)
    value = {"rows": [asdict(row) for row in rows], "paper": [row._asdict() for row in published]}
    return value, table(rows, given.style, published, intervals=given.intervals)


def _export(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto import recipes

    parity = recipes.export(given.checkpoint, given.output, given.licence)
    text = f"{given.output}: differs from the network by at most {parity.largest_difference:.1e} on speech"
    return asdict(parity) | {"output": given.output}, text


def _demo(given: Namespace) -> Answer:
    _needs_training_tier()
    from sotto.demo import demo

    with Display() as show:
        return demo(given.out, show)


def _check(given: Namespace) -> Answer:
    from sotto.data.check import check, describe

    measure = None
    if given.measure:
        _needs_training_tier()
        from sotto.metrics import measure as score

        def measure(clean: Any, noisy: Any, sample_rate: int) -> dict[str, float]:
            return score(clean, noisy, sample_rate, ("pesq_wb", "stoi"), "shorter").values

    with Display() as show:
        report = check(
            given.root,
            given.sample_rate,
            measure,
            given.measure,
            fix=given.fix,
            progress=lambda done, total: show("checking", done, total),
        )
    return report, describe(report)


def _prepare(given: Namespace) -> Answer:
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


def _shipped_recipes() -> str:
    from importlib import resources

    root = resources.files("sotto") / "assets" / "recipes"
    names = [
        f"  {folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in sorted(root.iterdir(), key=lambda entry: entry.name)
        if folder.is_dir()
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".yaml") and not file.name.startswith("_")
    ]
    return TRAIN_EXAMPLES + "\nRecipes that ship with sotto:\n" + "\n".join(names)


TRAIN_EXAMPLES = """examples:
  sotto train valentini/manner-s-1.5gf data.root=data/valentini
  sotto train my-recipe.yaml train.steps=1000 model.hidden=24 --out runs/trial
  sotto train my-recipe.yaml --resume
"""

COMMANDS: dict[str, Command] = {
    "enhance": Command(
        "take the noise out of a file or a folder",
        _enhance,
        (
            _flag("input", help="an audio file, or a folder of them"),
            _flag("-o", "--output", required=True, help="the file or folder to write"),
            _flag("--model", help="a shipped model's name, an ONNX file or a checkpoint; the best small one by default"),
        ),
        "Enhance recordings of any sample rate and number of channels; the output keeps both, and the length.",
        lambda: "examples:\n  sotto enhance noisy.wav -o clean.wav\n  sotto enhance recordings/ -o enhanced/",
    ),
    "models": Command("list the students that ship with sotto", _models, (), "List the shipped students, the default first."),
    "train": Command(
        "train a teacher, a baseline or a distilled student",
        _train,
        (
            _flag("recipe", help="a YAML file, or the name of a shipped recipe"),
            _flag("--out", help="folder of the run; the recipe's own by default"),
            _flag("--resume", action="store_true", help="go on with the run in that folder"),
        ),
        "Train what a recipe describes. Behind it, key=value or --key value change the recipe, such as\n"
        "train.steps=1000. Ctrl-C saves the run; --resume goes on with it exactly.",
        _shipped_recipes,
    ),
    "evaluate": Command(
        "score a model: PESQ, STOI, CSIG, CBAK, COVL, SI-SDR",
        _evaluate,
        (
            _flag("model", help="a checkpoint, an ONNX file, a shipped model's name, or noisy for the input itself"),
            _flag("--data", nargs=2, metavar=("NOISY", "CLEAN"), help="two folders whose files pair by name"),
            _flag("--recipe", help="score on this recipe's data; a checkpoint's own recipe by default"),
            _flag("--split", choices=("test", "valid"), default="test", help="which recordings of the recipe's data"),
            _flag("--metrics", nargs="+", help="names of metrics; the paper's and SI-SDR by default"),
            _flag("--out", help="folder for scores.json and scores.csv; a checkpoint's own run by default"),
            _flag("--workers", type=int, help="processes that compute the metrics; one per core by default"),
        ),
        "Enhance a test set and score it, with a row per file, means and 95 % intervals.",
        lambda: "examples:\n  sotto evaluate runs/student/best.safetensors\n  sotto evaluate noisy --data noisy/ clean/",
    ),
    "bench": Command(
        "parameters, FLOPs, speed and memory of a network",
        _bench,
        (
            _flag("model", help="a checkpoint, an ONNX file, a shipped model's name or a recipe"),
            _flag("--seconds", type=float, default=4.0, help="of audio in one pass (default 4)"),
            _flag("--repeats", type=int, default=5, help="timed passes (default 5)"),
            _flag("--threads", type=int, default=1, help="of arithmetic (default 1)"),
        ),
        "Measure what a network costs: FLOPs as the paper counts them, and all that it really does.",
        lambda: "examples:\n  sotto bench valentini/manner-s-1.5gf\n  sotto bench runs/student/best.safetensors",
    ),
    "report": Command(
        "put runs side by side, and beside the paper",
        _report,
        (
            _flag("runs", nargs="+", help="folders of runs"),
            _flag("-o", "--output", help="write an HTML page with curves, spectrograms and sound"),
            _flag("--paper", action="store_true", help="add the published figures that the recipes name"),
            _flag("--style", choices=("text", "markdown", "latex", "csv"), default="text", help="of the table"),
            _flag("--intervals", action="store_true", help="follow each mean by its 95 %% interval"),
            _flag("--examples", type=int, default=3, help="recordings on the page (default 3)"),
        ),
        "Compare runs on one test set, the noisy input first. Runs without scores are scored on the way.",
        lambda: "example:\n  sotto report runs/baseline runs/mvat -o report.html --paper",
    ),
    "export": Command(
        "write a checkpoint as ONNX",
        _export,
        (
            _flag("checkpoint", help="a checkpoint of sotto's own, or a published one"),
            _flag("-o", "--output", required=True, help="the .onnx file to write"),
            _flag("--licence", default="", help="licence of the weights, for the file's metadata"),
        ),
        "Export a network for any input length. The file is kept only if it equals the network on speech.",
        lambda: "example:\n  sotto export runs/student/best.safetensors -o student.onnx",
    ),
    "demo": Command(
        "the whole road in a few minutes, on synthetic data",
        _demo,
        (_flag("--out", default="runs/demo", help="folder to write to (default runs/demo)"),),
        "Train a small teacher and three students on a synthetic corpus, score them and write a report.",
        lambda: "example:\n  sotto demo",
    ),
}

DATA_COMMANDS: dict[str, Command] = {
    "check": Command(
        "find what is wrong with a corpus",
        _check,
        (
            _flag("root", help="the corpus: Valentini, DNS, noisy/ and clean/, or clean/ and noise/"),
            _flag("--sample-rate", type=int, default=16000, help="Hz that files should have (default 16000)"),
            _flag("--measure", type=int, default=50, help="test pairs to measure PESQ and STOI on (default 50; 0: none)"),
            _flag("--fix", metavar="CSV", help="write a manifest without the faulty entries; audio is never touched"),
        ),
        "Look at every file: unreadable, no partner, other length or rate, silent, clipped, twice, leaking speakers.",
        lambda: "example:\n  sotto data check data/valentini",
    ),
    "prepare": Command(
        "resample a corpus once, to FLAC",
        _prepare,
        (
            _flag("root", help="the corpus as downloaded"),
            _flag("out", help="the folder to write to"),
            _flag("--sample-rate", type=int, default=16000, help="Hz (default 16000)"),
            _flag("--workers", type=int, help="processes; one per core by default"),
        ),
        "Resample every file, in parallel; a stopped run goes on where it was.",
        lambda: "example:\n  sotto data prepare downloads/valentini data/valentini",
    ),
}
