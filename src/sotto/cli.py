"""The command line: words typed, one verb called, an answer printed. The only room that prints.

A user's mistake is one line on standard error and exit code 2; ``--json`` prints the answer for a program to read.
Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sotto import commands
from sotto.commands import Answer
from sotto.errors import InputError
from sotto.shelf import recipes, studies
from sotto.version import __version__

DESCRIPTION = "Take the noise out of speech with a small network, and make such networks out of large ones."
EPILOG = "sotto COMMAND --help tells what a command does and shows examples."


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


def _shipped_recipes() -> str:
    return f"{TRAIN_EXAMPLES}\nRecipes that ship with sotto:\n" + "\n".join(f"  {name}" for name in recipes())


TRAIN_EXAMPLES = """examples:
  sotto train valentini/manner-s-1.5gf data.root=data/valentini
  sotto train my-recipe.yaml train.steps=1000 model.hidden=24 --out runs/trial
  sotto train my-recipe.yaml --resume
"""

MODEL_RATE = _flag("--model-rate", type=int, help="Hz of a model that does not say its own (default 16000)")
STYLE = _flag("--style", choices=("text", "markdown", "latex", "csv"), default="text", help="of the table")

STREAM = (
    _flag("--rate", type=int, help="with --stream: Hz of raw samples (default 16000)"),
    _flag("--channels", type=int, help="with --stream: of raw samples (default 1)"),
    _flag("--format", choices=("wav", "s16le", "f32le"), help="with --stream: of the output, and of raw samples"),
    _flag("--block-ms", type=float, help="with --stream: milliseconds that are read at once (default 20)"),
    _flag("--low-delay", action="store_true", default=None, help="with --stream: resample by short filters"),
)

ENHANCE_EXAMPLES = """examples:
  sotto enhance noisy.wav -o clean.wav
  sotto enhance recordings/ -o enhanced/
  arecord -f S16_LE -r 16000 | sotto enhance --stream --model runs/unet/best.safetensors | aplay
"""

TRAIN_OPTIONS = ("--out", "--resume", "--dry-run", "--json", "--help")

COMMANDS: dict[str, Command] = {
    "enhance": Command(
        "take the noise out of a file, a folder or a stream",
        commands.enhance,
        (
            _flag("input", nargs="?", help="an audio file, or a folder of them"),
            _flag("-o", "--output", help="the file or folder to write"),
            _flag(
                "--model", help="a shipped model's name, an ONNX file or a checkpoint; the best small one by default"
            ),
            _flag("--stream", action="store_true", help="standard input to standard output, as it comes"),
            *STREAM,
        ),
        "Enhance recordings of any sample rate and number of channels; the output keeps both, and the length.\n"
        "With --stream, WAV or raw samples pass through as they come, and the answer goes to standard error.",
        lambda: ENHANCE_EXAMPLES,
    ),
    "models": Command(
        "list the students that ship with sotto", commands.models, (), "List the shipped students, the default first."
    ),
    "train": Command(
        "train a teacher, a baseline or a distilled student",
        commands.train,
        (
            _flag("recipe", help="a YAML file, or the name of a shipped recipe"),
            _flag("--out", help="folder of the run; the recipe's own by default"),
            _flag("--resume", action="store_true", help="go on with the run in that folder"),
            _flag("--dry-run", action="store_true", help="check everything, try a few steps, and leave no trace"),
        ),
        "Train what a recipe describes. Behind it, key=value or --key value change the recipe, such as\n"
        "train.steps=1000. Ctrl-C saves the run; --resume goes on with it exactly.",
        _shipped_recipes,
    ),
    "evaluate": Command(
        "score a model: PESQ, STOI, CSIG, CBAK, COVL, SI-SDR",
        commands.evaluate,
        (
            _flag(
                "model", help="a checkpoint, an ONNX file, a shipped model's name, module:function, or noisy: the input"
            ),
            _flag("--data", nargs=2, metavar=("NOISY", "CLEAN"), help="two folders whose files pair by name"),
            _flag("--recipe", help="score on this recipe's data; a checkpoint's own recipe by default"),
            _flag("--split", choices=("test", "valid"), default="test", help="which recordings of the recipe's data"),
            _flag("--metrics", nargs="+", help="names of metrics; the paper's and SI-SDR by default"),
            _flag("--out", help="folder for scores.json and scores.csv; a checkpoint's own run by default"),
            _flag("--workers", type=int, help="processes that compute the metrics; one per core by default"),
            _flag("--align", choices=("exact", "shorter"), default="exact", help="shorter cuts what differs in length"),
            _flag("--sample-rate", type=int, help="Hz to read --data at (default 16000)"),
            MODEL_RATE,
        ),
        "Enhance a test set and score it, with a row per file, means and 95 % intervals.",
        lambda: (
            "examples:\n  sotto evaluate runs/student/best.safetensors\n  sotto evaluate noisy --data noisy/ clean/\n"
            "  sotto evaluate theirs.onnx --recipe runs/student/recipe.yaml --out scores/theirs"
        ),
    ),
    "study": Command(
        "train methods x scenarios x seeds, and compare them",
        commands.study,
        (_flag("study", help="a YAML file, or the name of a study that ships"),),
        "Train every run of a study that is missing, several side by side, and write its tables. A run that has its\n"
        "scores is not done again, and a stopped one goes on where it was.",
        lambda: "example:\n  sotto study mismatch\n\nStudies that ship with sotto:\n  " + "\n  ".join(studies()),
    ),
    "bench": Command(
        "parameters, FLOPs, speed and memory of a network",
        commands.bench,
        (
            _flag(
                "model", nargs="?", help="a recipe, a checkpoint, an ONNX file, a shipped model's name, module:function"
            ),
            _flag("--all", action="store_true", help="every network of the recipes that ship, as a table"),
            _flag("--counts", action="store_true", help="count only, without speed and memory"),
            _flag("--seconds", type=float, default=4.0, help="of audio in one pass (default 4)"),
            _flag("--repeats", type=int, default=5, help="timed passes (default 5)"),
            _flag("--threads", type=int, default=1, help="of arithmetic (default 1)"),
            MODEL_RATE,
            STYLE,
        ),
        "Measure what a network costs: FLOPs as the paper counts them, and all that it really does.",
        lambda: "examples:\n  sotto bench valentini/manner-s-1.5gf\n  sotto bench --all --counts --style markdown",
    ),
    "report": Command(
        "put runs side by side, and beside the paper",
        commands.report,
        (
            _flag("runs", nargs="+", help="folders of runs; and of scores alone, from sotto evaluate --out"),
            _flag("-o", "--output", help="write an HTML page with curves, spectrograms and sound"),
            _flag("--paper", action="store_true", help="add the published figures that the recipes name"),
            STYLE,
            _flag("--intervals", action="store_true", help="follow each mean by its 95 %% interval"),
            _flag("--examples", type=int, default=3, help="recordings on the page (default 3)"),
        ),
        "Compare runs on one test set, the noisy input first. Runs without scores are scored on the way.",
        lambda: "example:\n  sotto report runs/baseline runs/mvat -o report.html --paper",
    ),
    "export": Command(
        "write a checkpoint as ONNX",
        commands.export,
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
        commands.demo,
        (_flag("--out", default="runs/demo", help="folder to write to (default runs/demo)"),),
        "Train a small teacher and three students on a synthetic corpus, score them and write a report.",
        lambda: "example:\n  sotto demo",
    ),
}

DATA_COMMANDS: dict[str, Command] = {
    "check": Command(
        "find what is wrong with a corpus",
        commands.check,
        (
            _flag("root", help="the corpus: Valentini, DNS, noisy/ and clean/, or clean/ and noise/"),
            _flag("--sample-rate", type=int, default=16000, help="Hz that files should have (default 16000)"),
            _flag(
                "--measure", type=int, default=50, help="test pairs to measure PESQ and STOI on (default 50; 0: none)"
            ),
            _flag("--fix", metavar="CSV", help="write a manifest without the faulty entries; audio is never touched"),
        ),
        "Look at every file: unreadable, no partner, other length or rate, silent, clipped, twice, leaking speakers.",
        lambda: "example:\n  sotto data check data/valentini",
    ),
    "prepare": Command(
        "resample a corpus once, to FLAC",
        commands.prepare,
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Leaves with 1 when the answer is that something is wrong with the user's files, 2 after a
    mistake in what was typed or given, 130 after Ctrl-C, which only ends a stream as the end of its input does."""
    if "" not in sys.path:  # a model named as module:function may lie in the folder where the words are typed
        sys.path.append("")
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, overrides = _take_overrides(words)
    given = _parser().parse_args(words)
    given.overrides = overrides
    try:
        value, text = given.run(given)
        # Where standard output carries sound, the answer goes beside it.
        answer = sys.stderr if getattr(given, "stream", False) else sys.stdout
        print(json.dumps(value, indent=2) if given.json else text, file=answer)
        sys.stdout.flush()
    except InputError as error:
        print(f"sotto: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("sotto: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the pipe has left; what is still buffered must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    if isinstance(value, dict) and value.get("ok") is False:
        sys.exit(1)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="sotto", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"sotto {__version__}")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(parsers, COMMANDS)
    summary = "check and prepare a corpus"
    data = parsers.add_parser("data", help=summary, description=f"{summary.capitalize()}.")
    _add(data.add_subparsers(title="commands", metavar="COMMAND", required=True), DATA_COMMANDS)
    return parser


def _add(parsers: Any, table: Mapping[str, Command]) -> None:
    for name, command in table.items():
        parser = parsers.add_parser(
            name,
            help=command.summary,
            description=command.description,
            epilog=command.epilog(),
            formatter_class=RawDescriptionHelpFormatter,
        )
        for flags, options in command.arguments:
            parser.add_argument(*flags, **options)
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        parser.set_defaults(run=command.run)


def _take_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Part the words of ``sotto train`` from its overrides, ``key=value``, ``--key value`` or ``--key=value``.

    argparse has no options of any name, nor positional words on both sides of an option.
    """
    if words[:1] != ["train"]:
        return words, []
    kept: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        key, sign, _ = word.partition("=")
        if word.startswith("--") and key not in TRAIN_OPTIONS:
            overrides.append(word[2:] if sign else f"{word[2:]}={next(rest, '')}")
        elif sign and not word.startswith("-"):
            overrides.append(word)
        else:
            kept.append(word)
    return kept, overrides
