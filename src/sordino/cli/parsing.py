"""Parse the command line: a command and its arguments. A mistake gives one line with the nearest valid name."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from sordino.cli.commands import COMMANDS, DATA, DATA_COMMANDS, DATA_SUMMARY, Entry
from sordino.errors import InputError, did_you_mean
from sordino.version import __version__

DESCRIPTION = "Remove noise from speech with a small network, and train such networks from large ones."
EPILOG = "sordino COMMAND --help explains a command and shows examples."
OVERRIDE = re.compile(r"[a-z_]+(\.\w+)+=|weights\.(loss|kd)/[^=]+=")
CHOICE = re.compile(r"argument (?P<where>\S+): invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)")
VALUE = re.compile(r"argument (?P<where>\S+): invalid (?P<kind>int|float) value: '(?P<given>[^']*)'")
MISSING = "the following arguments are required: "
VALUED = ("-o", "--out", "--trust")
"""Options of ``sordino train`` that the next word belongs to, even if that has a ``=``."""
KINDS = {"int": "a whole number", "float": "a number"}


def parsed(words: Sequence[str]) -> Namespace:
    """Return the arguments of the command that is called, its function as ``run``, and its ``overrides``.

    Raises:
        InputError: no such command, no such option, or an argument that is missing or of another kind.
    """
    kept, overrides = _take_overrides(list(words))
    given, unknown = _parser(kept).parse_known_args(kept)
    if unknown:
        raise _unknown(given, unknown)
    given.overrides = overrides
    return given


class _Parser(ArgumentParser):
    """Parser that raises its errors as an InputError."""

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help shows what it takes"
        if choice := CHOICE.fullmatch(message):
            known = [name.strip("' ") for name in choice["known"].split(",")]
            where, found = choice["given"], "no such command"
            if not choice["where"].isupper():
                where, found = f"{self.prog} {choice['where']}", f"{choice['given']!r}"
            near = did_you_mean(choice["given"], known)
            raise InputError(where, found, f"one of {', '.join(known)}", near)
        if value := VALUE.fullmatch(message):
            raise InputError(f"{self.prog} {value['where']}", f"{value['given']!r}", KINDS[value["kind"]], hint)
        if message.startswith(MISSING):
            raise InputError(message.removeprefix(MISSING), "is missing", hint=hint)
        raise InputError(self.prog, message, hint=hint)


def _unknown(given: Namespace, unknown: Sequence[str]) -> InputError:
    """Return the error for words that the command does not take."""
    help_hint = f"{given.prog} --help shows what it takes"
    option = next((word for word in unknown if word.startswith("-")), None)
    if option is None:
        return InputError(given.prog, f"{unknown[0]!r} is one word too many", hint=help_hint)
    name = option.partition("=")[0]
    if name in given.options:  # before the command, or after --
        return InputError(given.prog, f"{name} is in the wrong place", hint=f"write {given.prog} {name} and the rest")
    hint = _setting(name.removeprefix("--").replace("-", "_")) if given.prog == "sordino train" else ""
    return InputError(given.prog, f"no option {name}", hint=hint or did_you_mean(name, given.options, 0.7) or help_hint)


def _setting(name: str) -> str:
    """Return a hint at the setting of a recipe that was typed like an option; empty if there is none."""
    from sordino.experiments.schema import TEXTS, section_of

    if name in TEXTS:
        return f"did you mean {name}=VALUE?"
    section = section_of(name)
    return f"did you mean {section}.{name}=VALUE?" if section else ""


def _parser(words: Sequence[str]) -> _Parser:
    """The parser for ``words``: it knows all commands by name, and the arguments of the one that is called."""
    parser = _Parser(prog="sordino", description=DESCRIPTION, epilog=EPILOG)
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
        options = ["--json", "--help"]
        for flags, settings in command.arguments:
            parser.add_argument(*flags, **settings)
            options += [one for one in flags if one.startswith("-")]
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.set_defaults(run=command.run, prog=parser.prog, options=options)


def _take_overrides(words: list[str]) -> tuple[list[str], list[str]]:
    """Separate the words of a command on a recipe from its overrides.

    Overrides are ``key=value`` and, for ``sordino train``, also ``--section.key value`` and ``--section.key=value``. An
    option without a dot is the command's own, or a mistake. A word with a slash before its ``=`` is a path, unless the
    slash belongs to the name of a term: ``weights.loss/compressed=2``.

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
        if word.startswith("--") and "." in key:
            override = word.removeprefix("--")
            overrides.append(override if sign else f"{override}={_value_of(word, rest)}")
        elif sign and not word.startswith("-") and _is_setting(word) and (not kept or kept[-1] not in VALUED):
            overrides.append(word)
        else:
            kept.append(word)
    return kept, overrides


def _is_setting(word: str) -> bool:
    """Whether a word with ``=`` is a key and its value, and not a path."""
    return OVERRIDE.match(word) is not None or "/" not in word.partition("=")[0]


def _value_of(option: str, rest: Iterator[str]) -> str:
    """Return the next word, which is the value of an option."""
    value = next(rest, None)
    if value is None or value.startswith("--"):
        raise InputError(option, "has no value", f"{option} VALUE")
    return value


def _separate(words: Sequence[str], is_override: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Separate words into those that are no overrides and those that are."""
    kept, overrides = [], []
    for word in words:
        if is_override(word):
            overrides.append(word)
        else:
            kept.append(word)
    return kept, overrides
