"""The thread that ends passes of onnxruntime, in programs with many open files and in copies of a process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("resource", reason="needs a system with limits of open files")

MANY_FILES = """
import json, os, resource, signal, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 4096 and hard != resource.RLIM_INFINITY else 4096, hard))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
from types import SimpleNamespace
from sordino.inference.graphs import passes
passes._start()
one = passes._Pass(SimpleNamespace(terminate=False), {})
passes._passes.add(one)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
except KeyboardInterrupt:
    pass
while passes._watch.is_alive() and not one.options.terminate:
    time.sleep(0.01)
print(json.dumps([one.options.terminate, one.interrupted]))
"""
COPIES = """
import json, os, signal
from sordino.inference.graphs import passes

def look():
    return [len(os.listdir("/dev/fd")), signal.set_wakeup_fd(-1) == -1]

def in_a_copy(work):
    out, put = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        os.write(put, json.dumps(work()).encode())
        os._exit(0)
    os.close(put)
    found = json.loads(os.read(out, 4096))
    os.close(out)
    os.waitpid(child, 0)
    return found

def started():
    passes._start()
    files = len(os.listdir("/dev/fd"))
    return [files, in_a_copy(look)]

files = len(os.listdir("/dev/fd"))
passes._start()
print(json.dumps([files, in_a_copy(look), in_a_copy(started)]))
"""


def run(program: str) -> Any:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_ctrl_c_ends_a_pass_in_a_program_with_many_open_files() -> None:
    assert run(MANY_FILES) == [True, True]


def test_a_copy_of_a_process_keeps_nothing_of_its_pipe() -> None:
    files, copied, (started, copied_again) = run(COPIES)
    assert copied == [files + 1, True]  # one end of the pipe of the test itself
    assert started == files + 3
    assert copied_again == [files + 2, True]
