"""Work in processes: every answer once, errors whole, and no process left behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sordino.audio.sound_files import info
from sordino.data.tools.pool import run_jobs
from sordino.errors import InputError


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_job_is_done_once(workers: int) -> None:
    jobs = list(range(40))
    assert sorted(run_jobs(math.factorial, jobs, workers)) == [math.factorial(job) for job in jobs]
    assert list(run_jobs(math.factorial, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_arrives_as_it_was(workers: int) -> None:
    with pytest.raises(InputError, match=r"^absent\.wav: there is no such file; check the path$"):
        list(run_jobs(info, ["absent.wav"] * 3, workers))


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(InputError, match="ended early"):
        list(run_jobs(os._exit, [3, 3], 2))


def children(of: int) -> set[int]:
    return {int(number) for number in Path(f"/proc/{of}/task/{of}/children").read_text().split()}


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of processes")
def test_no_process_outlives_a_parent_that_was_killed() -> None:
    script = "import time\nfrom sordino.data.tools.pool import run_jobs\nlist(run_jobs(time.sleep, [300] * 4, 2))"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        deadline = time.monotonic() + 60
        while len(children(parent.pid)) < 3 and time.monotonic() < deadline:  # two workers, and Python's tracker
            time.sleep(0.05)
        born = children(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert len(born) >= 2
    while any(map(running, born)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, born))
