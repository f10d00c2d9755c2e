"""Processes that a test, or a benchmark that kills them, has started: which of them still live."""

from __future__ import annotations

from pathlib import Path


def alive(group: int) -> list[int]:
    """Return the processes of a group that have not ended; needs /proc, as Linux has it."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if int(its_group) == group and state != "Z":
            found.append(int(status.parent.name))
    return found
