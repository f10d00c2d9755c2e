"""Interruption of a run at the end of a step rather than in the middle of it."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


def stopped(step: int) -> KeyboardInterrupt:
    """Return what ends a run that was asked to stop and has been saved after ``step``."""
    return KeyboardInterrupt(f"stopped at step {step}, saved")


class Interruptible:
    """Context manager in which SIGINT, SIGTERM and SIGHUP only set ``asked``: the loop can finish its step and save.

    A second signal interrupts at once. One that is ignored stays so, as SIGHUP below ``nohup``. Python delivers no
    signals outside the main thread, where this does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
            for number in [one for one in numbers if signal.getsignal(one) is not signal.SIG_IGN]:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
