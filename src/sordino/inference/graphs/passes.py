"""Passes through graphs of onnxruntime that can be ended: by Ctrl-C, and when they take far too long.

A graph may hold a loop that never ends. While onnxruntime computes, Python does not, so no handler of a signal runs. A
thread watches the passes: a signal wakes it through ``signal.set_wakeup_fd``, which needs no turn of Python's, and it
tells onnxruntime to end the pass.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort

from sordino.errors import InputError

LIMIT_S, PER_VALUE_S = 60.0, 20.0 / 16_000
"""Seconds that a pass may take, and more for each value that goes in: twenty times as long as the sound lasts."""
_TURN_S = 1.0


class Unfinished(InputError):
    """A pass took too long."""


class _Pass:
    """A pass that is under way."""

    def __init__(self, options: ort.RunOptions, named: Mapping[str, np.ndarray]) -> None:
        self.options, self.interrupted = options, False
        self._named, self._began = named, time.monotonic()

    # Computed only when the thread looks: a hop of a stream takes a fraction of a millisecond.
    @property
    def size(self) -> int:
        """Values of the largest input."""
        return max((array.size for array in self._named.values()), default=0)

    @property
    def limit_s(self) -> float:
        """Seconds that the pass may take."""
        return LIMIT_S + PER_VALUE_S * self.size

    def too_long(self) -> bool:
        """Whether the pass has taken longer than its limit."""
        return time.monotonic() - self._began > self.limit_s


_passes: set[_Pass] = set()
_watch: threading.Thread | None = None
_pipe: tuple[int, int] | None = None
"""Descriptors through which a signal wakes the thread: the one that it reads, and the one that is written."""
_starting = threading.Lock()


def run(
    session: ort.InferenceSession,
    named: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    path: str,
    options: ort.RunOptions | None = None,
) -> list[np.ndarray]:
    """Return the outputs of a pass.

    Args:
        session: that runs it.
        named: inputs by name.
        outputs: names of those to return.
        path: of the file, for messages.
        options: of the pass.

    Raises:
        Unfinished: it took too long.
        KeyboardInterrupt: Ctrl-C.
    """
    if _watch is None:
        _start()
    one = _Pass(options or ort.RunOptions(), named)
    _passes.add(one)
    try:
        return [np.asarray(array) for array in session.run(outputs, named, one.options)]
    except Exception:
        if not one.options.terminate:
            raise
        if one.interrupted:
            raise KeyboardInterrupt from None
        found = f"has not finished {one.size} values after {one.limit_s:.0f} s"
        raise Unfinished(
            path, found, hint="its graph may never end; try a shorter recording or another model"
        ) from None
    finally:
        _passes.discard(one)


def _start() -> None:
    """Start the thread that watches, once in each process."""
    global _watch, _pipe
    with _starting:
        if _watch is not None:
            return
        _pipe = woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        thread = threading.Thread(target=_look, args=(woken,), name="passes", daemon=True)
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
            if before != -1:  # an event loop's, which needs it more
                signal.set_wakeup_fd(before)
        thread.start()
        _watch = thread


def _look(woken: int) -> None:
    """Stop passes that take too long, and all running ones when Ctrl-C is to end the program."""
    poll = select.poll()  # which, unlike select.select, takes descriptors of 1024 and above
    poll.register(woken, select.POLLIN)
    while True:
        ready = poll.poll(1000 * _TURN_S)
        numbers = os.read(woken, 4096) if ready else b""
        # Where somebody else handles the signal, he decides what ends.
        interrupted = signal.SIGINT in numbers and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        for one in list(_passes):
            if interrupted or one.too_long():
                one.interrupted = interrupted
                one.options.terminate = True


def _forget() -> None:
    """Forget the thread and its passes in a copy of the process, which has neither.

    The copy also has the pipe through which a signal would wake the thread of the other process.
    """
    global _watch, _starting, _pipe
    _watch, _starting = None, threading.Lock()
    _passes.clear()
    if _pipe is not None:
        woken, wakes = _pipe
        before = signal.set_wakeup_fd(-1, warn_on_full_buffer=False)
        if before not in (-1, wakes):
            signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wakes)
        _pipe = None


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is a copy of another
    os.register_at_fork(after_in_child=_forget)
