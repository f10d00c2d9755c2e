"""The command line: one command is called, and its answer printed. Nothing else prints.

A user's mistake is one line on standard error and exit code 2; ``--json`` prints the answer for a program to read.
Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from sordino.cli.base import with_next_command
from sordino.cli.commands import COMMANDS, DATA, DATA_COMMANDS, DATA_SUMMARY, Entry
from sordino.distributed import rank, stop_on
from sordino.errors import InputError, printable
from sordino.files import unwritable
from sordino.plugins.modules import trust, trust_names
from sordino.version import __version__

DESCRIPTION = "Take the noise out of speech with a small network, and make such networks out of large ones."
EPILOG = "sordino COMMAND --help explains a command and shows examples."
OVERRIDE = re.compile(r"[a-z_]+(\.\w+)+=")
SPINS = "3000"
"""Turns that a waiting thread of OpenMP takes before it sleeps; torch reads the number when it is imported.

By OpenMP's own number a training step on two cores that other programs use took 10 times as long on two threads as on
one; with this one, twice. On idle cores a step takes up to 1.2 times as long.
"""
TRAIN_OPTIONS = ("--out", "--resume", "--dry-run", "--trust", "--json", "--help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exits with 1 when the answer is that something is wrong with the user's files, with 2 after a mistake in what was
    typed or given, and with 130 after Ctrl-C, except of a stream, which Ctrl-C ends as the end of its input does.
    SIGTERM and SIGHUP do what Ctrl-C does.
    """
    warnings.formatwarning = _formatted
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal lacks
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, overrides = _take_overrides(words)
    given = _parser(words).parse_args(words)
    given.overrides = overrides
    # Windows has no SIGHUP.
    stop_on(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
    try:
        trust_names(words, Path())  # a model named as module:function may lie in the folder where the words are typed
        for code in getattr(given, "trust", ()):
            trust(code)
        value, text = given.run(given)
        # Where standard output carries sound, the answer goes beside it.
        file = sys.stderr if getattr(given, "stream", False) else sys.stdout
        if rank() == 0:
            answer = json.dumps(value, indent=2) if given.json else printable(text)
            _print(answer, file)
    except InputError as error:
        _complain(str(with_next_command(error)))
        sys.exit(2)
    except KeyboardInterrupt as stop:
        _complain(str(stop) or "stopped")
        sys.exit(130)
    except BrokenPipeError:  # the reader of the pipe has left
        _drop_output()
        sys.exit(0)
    except OSError as error:
        if error.filename is None:  # of no file of the user's
            raise
        _complain(_file_trouble(error))
        sys.exit(2)
    if isinstance(value, dict) and value.get("ok") is False:
        sys.exit(1)


def _file_trouble(error: OSError) -> str:
    """Describe what the system says of a user's file."""
    name = str(error.filename)
    if error.errno == errno.ENAMETOOLONG:
        return f"{name[:80]}...: a name of {len(name)} characters is too long"
    return f"{name}: {error.strerror}"


def _complain(text: str) -> None:
    """Print a line on standard error, if there is one: ``print`` would take standard output in its place."""
    if sys.stderr is not None:
        print(f"sordino: {printable(text)}", file=sys.stderr)


def _print(text: str, file: TextIO | None) -> None:
    """Print an answer and flush it; a standard output that cannot be written is an InputError."""
    if file is None:  # closed; ``print`` would take standard output, which may carry sound
        return
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise unwritable("standard output", error) from error


def _drop_output() -> None:
    """Discard buffered output, which would raise the same error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _formatted(message: Warning | str, category: type[Warning], file: str, line: int, text: str | None = None) -> str:
    """Return a warning as it is printed: one of sordino's own is a line like that of a mistake."""
    if Path(file).is_relative_to(Path(__file__).parents[1]):
        return f"sordino: {printable(str(message))}\n"
    return f"{file}:{line}: {category.__name__}: {message}\n"


def _parser(words: Sequence[str]) -> ArgumentParser:
    """The parser for ``words``: it knows all commands by name, and the arguments of the one that is called."""
    parser = ArgumentParser(prog="sordino", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"sordino {__version__}")
    called = [word for word in words if not word.startswith("-")]
    command, below, *_ = [*called, "", ""]  # empty where none is called
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, COMMANDS, command)
    data = commands.add_parser(DATA, help=DATA_SUMMARY, description=f"{DATA_SUMMARY.capitalize()}.")
    if command == DATA:
        _add(data.add_subparsers(title="commands", metavar="COMMAND", required=True), DATA_COMMANDS, below)
    return parser


def _add(parsers: Any, table: Mapping[str, Entry], called: str) -> None:
    """Add a parser for every command of a table, with a summary alone unless the command is ``called``."""
    for name, entry in table.items():
        if name != called:
            parsers.add_parser(name, help=entry.summary)
            continue
        command = entry.load()
        parser = parsers.add_parser(
            name,
            help=entry.summary,
            description=command.description,
            epilog=command.epilog(),
            formatter_class=RawDescriptionHelpFormatter,
        )
        for flags, options in command.arguments:
            parser.add_argument(*flags, **options)
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        parser.set_defaults(run=command.run)


def _separate(words: Sequence[str], is_override: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Separate words into those that are no overrides and those that are."""
    kept, overrides = [], []
    for word in words:
        if is_override(word):
            overrides.append(word)
        else:
            kept.append(word)
    return kept, overrides


def _take_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Separate the words of a command on a recipe from its overrides.

    Overrides are ``key=value`` and, for ``sordino train``, also ``--key value`` and ``--key=value``.

    argparse has no options of any name, nor positional words on both sides of an option.
    """
    if words[:2] in (["data", "check"], ["data", "render"], ["data", "shard"]):
        return _separate(words, lambda word: OVERRIDE.match(word) is not None)
    if words[:1] == ["check"]:
        return _separate(words, lambda word: "=" in word and not word.startswith("-"))
    if words[:1] != ["train"]:
        return words, []
    kept, overrides = [], []
    rest = iter(words)
    for word in rest:
        key, sign, _ = word.partition("=")
        if word.startswith("--") and key not in TRAIN_OPTIONS:
            override = word.removeprefix("--")
            if not sign:  # the value is the next word
                override += f"={next(rest, '')}"
            overrides.append(override)
        elif sign and not word.startswith("-"):
            overrides.append(word)
        else:
            kept.append(word)
    return kept, overrides
