"""The command line: one command is called, and its result printed. Nothing else prints.

A user's mistake is one line on standard error and exit code 2; ``--json`` prints the answer for a program to read.
Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from sordino.cli.base import with_next_command
from sordino.cli.parsing import parsed
from sordino.distributed import rank, stop_on
from sordino.errors import InputError, one_line_warnings, printable
from sordino.files import unwritable
from sordino.plugins.modules import trust, trust_names

SPINS = "3000"
"""Turns that a waiting thread of OpenMP takes before it sleeps; torch reads the number when it is imported.

By OpenMP's own number a training step on two cores that other programs use took 10 times as long on two threads as on
one; with this one, twice. On idle cores a step takes up to 1.2 times as long.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exits with 1 when the answer is that something is wrong with the user's files, with 2 after a mistake in what was
    typed or given, and with 130 after Ctrl-C, except of a stream, which Ctrl-C ends as the end of its input does.
    SIGTERM and SIGHUP do what Ctrl-C does.
    """
    warnings.formatwarning = one_line_warnings()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal lacks
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Windows has no SIGHUP.
    stop_on(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
    try:
        given = parsed(words)
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
    except BrokenPipeError:
        if not _reader_left():  # another pipe broke, such as one to a process that died at work
            raise
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
    hint = "; check who may read and write it" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return f"{name}: {error.strerror}{hint}"


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


def _reader_left() -> bool:
    """Whether the reader of standard output or standard error has gone."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    watched = select.poll()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            watched.register(stream.fileno(), 0)  # errors are reported anyway
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in watched.poll(0))


def _drop_output() -> None:
    """Discard buffered output, which would raise the same error again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
