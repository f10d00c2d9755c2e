"""The command line: words typed, one verb called, an answer printed. The only room that prints.

A user's mistake is one line on standard error and exit code 2; ``--json`` prints the answer for a program to read.
Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from typing import Any

from sordino.cli.base import Command
from sordino.cli.commands import COMMANDS, DATA_COMMANDS
from sordino.distributed import rank
from sordino.errors import InputError
from sordino.version import __version__

DESCRIPTION = "Take the noise out of speech with a small network, and make such networks out of large ones."
EPILOG = "sordino COMMAND --help tells what a command does and shows examples."
OVERRIDE = re.compile(r"[a-z_]+(\.\w+)+=")
TRAIN_OPTIONS = ("--out", "--resume", "--dry-run", "--json", "--help")


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
        if rank() == 0:
            print(json.dumps(value, indent=2) if given.json else text, file=answer)
        sys.stdout.flush()
    except InputError as error:
        print(f"sordino: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("sordino: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of the pipe has left; what is still buffered must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    if isinstance(value, dict) and value.get("ok") is False:
        sys.exit(1)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="sordino", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"sordino {__version__}")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(parsers, COMMANDS)
    summary = "check, prepare, render and shard a corpus"
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
    """Part the words of a command on a recipe from its overrides: ``key=value`` and, of ``sordino train``, also
    ``--key value`` and ``--key=value``.

    argparse has no options of any name, nor positional words on both sides of an option.
    """
    if words[:2] in (["data", "render"], ["data", "shard"]):
        overrides = [word for word in words if OVERRIDE.match(word)]
        return [word for word in words if word not in overrides], overrides
    if words[:1] != ["train"]:
        return words, []
    kept, overrides = [], []
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
