"""Reads damaged files in a process of its own, whose memory is limited, and tells what escaped."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from helpers.ranks import copies
from helpers.strangers import KINDS, Kind
from sordino.errors import InputError

HANG_S = 5.0
"""Seconds of processor time for one file."""
PATIENCE_S = 60.0
"""Seconds in all, after which a process that does not listen to Python's signals is ended."""
ROOM, GROWTH = 2 << 30, 256 << 20
"""Bytes of addresses that reading may take, and of memory that one file may."""
TICK_S = 0.05
"""Seconds that answers may wait for, so that the reader is not woken up by each of them."""
MEMORY = "/dev/shm"
"""A folder in memory: on a disk, writing a file anew takes longer than reading it."""
LONGEST = 4000
"""Characters of a message."""
FORGET_PEAK = Path("/proc/self/clear_refs")
"""What sets the most memory that this process has had to what it has now."""
NOT_MADE = "not made"
"""What a process says before it tells of an error of the fuzzer's own."""


class Escape(NamedTuple):
    """A damaged file that was neither read nor refused in one line."""

    number: int
    reason: str


class _Hang(BaseException):
    pass


def fuzz(kind: Kind, numbers: Iterable[int]) -> list[Escape]:
    """Read the damaged files of these numbers, each of which is drawn from its number alone."""
    rest, escapes = list(numbers), []
    while rest:
        tried = list(_in_a_process(kind, rest))
        escapes += [escape for escape in tried if escape.reason]
        rest = rest[len(tried) :]
    return escapes


def _in_a_process(kind: Kind, numbers: list[int]) -> Iterator[Escape]:
    """Yield what came of each file, until all are read, or the process that reads them ends or has to be ended."""
    # A fork of this process would wait for ever in onnxruntime, whose threads it does not get.
    known = any(kind is one for one in KINDS)
    context: Any = copies() if known else multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_read_all, args=(kind.name if known else kind, numbers, there))
    process.start()
    there.close()
    listens = True
    for number in numbers:
        try:
            if not here.poll():
                time.sleep(TICK_S)
            listens = here.poll(PATIENCE_S)
            reason = here.recv() if listens else "hangs"
        except EOFError:
            process.join()
            listens, reason = False, f"ends the process with {process.exitcode}"
        if reason == NOT_MADE:
            raise RuntimeError(f"{kind.name} {number}: {here.recv()}")
        yield Escape(number, reason)
        if not listens:
            break
    process.kill()
    process.join()


def _read_all(which: str | Kind, numbers: list[int], answers: Connection) -> None:
    """Read one file after the other and tell what came of each; ``which`` is a kind, or the name of one."""
    kind = which if isinstance(which, Kind) else next(one for one in KINDS if one.name == which)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as name:
        folder = Path(name)
        os.chdir(folder)
        try:
            mutate = kind.prepare(folder)
            signal.signal(signal.SIGPROF, _ring)
            addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (addresses + ROOM, resource.RLIM_INFINITY))
            for number in numbers:
                content = mutate(Random(f"{kind.name} {number}"))
                answers.send(_outcome(kind, folder / kind.file, content))
        except Exception:
            answers.send(NOT_MADE)
            answers.send(traceback.format_exc())
            raise


def _ring(*_: object) -> None:
    raise _Hang


def _outcome(kind: Kind, path: Path, content: bytes) -> str:
    """Read one file; returns what is wrong, or an empty text."""
    path.write_bytes(content)
    FORGET_PEAK.write_text("5")  # so that a large file does not hide the next one
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        kind.read(path)
    except InputError as error:
        if len(str(error)) > LONGEST:
            return f"a message of {len(str(error))} characters"
    except _Hang:
        return f"takes more than {HANG_S:g} s"
    except BaseException as error:  # noqa: BLE001  (whatever it is, it has escaped)
        place = [frame for frame in traceback.extract_tb(error.__traceback__) if "/sordino/" in frame.filename]
        at = f"{place[-1].filename.rpartition('sordino/')[2]}:{place[-1].lineno}" if place else "?"
        return f"{type(error).__name__} at {at}: {str(error)[:150]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return f"takes {growth >> 20} MiB" if growth > GROWTH else ""
