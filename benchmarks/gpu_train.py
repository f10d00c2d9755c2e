"""Networks side by side on one device, each in a process of its own, done before a deadline.

    python benchmarks/gpu_train.py benchmarks/gpu/*.yaml --minutes 12 --out weights --data corpus

First all recipes run together for a trial, which tells how long a step of each takes in the others' company; then each
runs anew, with as many steps as fit, so that its schedule comes to its end. Whatever still runs shortly before the
deadline is asked to stop, saves and leaves. The weights of each, in half precision and in pieces of 16 MiB, lie in the
folder ``--out``; ``gpu_weights.py join`` makes checkpoints of them again. ``base.yaml`` is no recipe and passed over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gpu_weights import PIECE_BYTES, split

from sordino.errors import InputError
from sordino.json_files import write_json
from sordino.training import read_log
from sordino.training.state import chosen

BASE = "base"
USED = 0.85  # of the time left after the trial: the rest is for starting, validating and stopping
VALIDATIONS = 3
MEASURED_S = 10.0  # of steps, after the first, that a trial measures
LEAST_S = 0.1  # as exactly as a log tells the time
TRIAL_STEPS = 1_000_000  # more than any trial takes


def train(
    recipes: Sequence[Path],
    out: Path,
    minutes: float,
    trial_s: float,
    stop_s: float,
    overrides: Sequence[str] = (),
    most: int | None = None,
    piece_bytes: int = PIECE_BYTES,
) -> dict[str, Any]:
    """Train every recipe until ``minutes`` from now at the latest, and leave their weights in ``out``.

    Args:
        recipes: files; what each is called in ``out`` is the name of its file.
        out: folder for weights, logs and ``report.json``; the runs themselves lie in its ``runs/``.
        minutes: from the start of the trial to the end of all.
        trial_s: seconds that the trial takes at most; it ends when every recipe has taken some steps.
        stop_s: seconds before the deadline at which what still runs is asked to stop.
        overrides: ``key=value`` for all recipes.
        most: steps that no recipe takes more of, whatever the time left.
        piece_bytes: the most that a piece of the weights takes.

    Returns:
        Of each recipe its planned and taken steps, seconds per step, last validation and the files of its weights.

    Raises:
        InputError: a recipe that took no step in the trial.
    """
    deadline = time.monotonic() + 60 * minutes
    named = {path.stem: path for path in recipes if path.stem != BASE}
    endless = [f"train.steps={TRIAL_STEPS}", f"train.validate_every={TRIAL_STEPS}", "train.log_every=2"]
    trial = {name: [*overrides, *endless] for name in named}
    began = time.monotonic()
    run_until(began + trial_s, stop_s, named, out / "trial", trial, partial(_all_measured, out / "trial", named))
    per_step = {name: _seconds_per_step(out / "trial" / name) for name in named}
    # Starting takes as long again: all of the trial but the steps that every log tells of.
    starting_s = time.monotonic() - began - min(_log(out / "trial" / name)[-1]["seconds"] for name in named)
    left_s = USED * (deadline - stop_s - max(starting_s, 0) - time.monotonic())
    planned = {name: max(min(int(left_s / seconds), most or TRIAL_STEPS), 1) for name, seconds in per_step.items()}
    whole = {
        name: [*overrides, f"train.steps={steps}", f"train.validate_every={max(steps // VALIDATIONS, 1)}"]
        for name, steps in planned.items()
    }
    run_until(deadline - stop_s, stop_s, named, out / "runs", whole)
    shutil.rmtree(out / "trial")
    report = {}
    for name in named:
        folder = out / "runs" / name
        records = read_log(folder)
        scored = [record for record in records if "valid/pesq_wb" in record]
        report[name] = {
            "seconds_per_step": per_step[name],
            "planned": planned[name],
            "steps": max((record["step"] for record in records), default=0),
            "valid": {key: value for key, value in scored[-1].items() if key.startswith("valid/")} if scored else {},
            "weights": [path.name for path in _weights(folder, out / name, piece_bytes)],
        }
    write_json(out / "report.json", report)
    return report


def run_until(
    moment: float,
    stop_s: float,
    recipes: Mapping[str, Path],
    out: Path,
    overrides: Mapping[str, Sequence[str]],
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Run recipes side by side; at ``moment``, or when it is ``enough``, ask what still runs to stop, and end it after
    ``stop_s`` more seconds.
    """
    out.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    for name, path in recipes.items():
        words = [sys.executable, "-m", "sordino", "train", str(path), *overrides[name], "--out", str(out / name)]
        with open(out / f"{name}.log", "wb") as log:
            running[name] = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    try:
        while time.monotonic() < moment and any(process.poll() is None for process in running.values()):
            if enough():
                break
            time.sleep(0.2)
    finally:
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        end = time.monotonic() + stop_s
        for process in running.values():
            try:
                process.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _log(folder: Path) -> list[dict[str, Any]]:
    """The records of a run's steps."""
    return [record for record in read_log(folder) if "total" in record]


def _all_measured(out: Path, names: Iterable[str]) -> bool:
    """Whether the log of every run tells of enough steps to plan by."""
    logs = [_log(out / name) for name in names]
    return all(len(log) > 2 and log[-1]["seconds"] - log[0]["seconds"] >= MEASURED_S for log in logs)


def _seconds_per_step(folder: Path) -> float:
    """How long a step took in the trial, the first ones and what they compile left out where there are others."""
    steps = _log(folder)
    if not steps:
        log = folder.with_name(f"{folder.name}.log")
        last_line = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or [""]
        found = f"took no step in the trial: {last_line[0]}"
        raise InputError(folder.name, found, hint=f"give --trial more seconds, or see {log}")
    first, last = steps[0], steps[-1]
    if first is last:
        return max(last["seconds"], LEAST_S) / last["step"]
    return max(last["seconds"] - first["seconds"], LEAST_S) / (last["step"] - first["step"])


def _weights(folder: Path, out: Path, piece_bytes: int) -> list[Path]:
    """The pieces of a run's best weights; none where it was stopped before it had any."""
    checkpoint = chosen(folder)
    return split(checkpoint, out, piece_bytes) if checkpoint.is_file() else []


def main(words: Sequence[str] | None = None) -> None:
    """Read the words typed, train, and print what became of each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0, help="until all is done (default 12)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--data", type=Path, help="folder with clean/, noise/ and pairs/, in the place of the recipes'")
    parser.add_argument("--trial", type=float, default=75.0, help="seconds of the trial (default 75)")
    parser.add_argument("--stop", type=float, default=30.0, help="seconds kept for stopping (default 30)")
    parser.add_argument("--most", type=int, help="steps that no recipe takes more of")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for all recipes")
    given = parser.parse_args(words)
    overrides = list(given.set)
    if given.data is not None:
        test = given.data / "pairs" / "voicebank-demand-test"
        places = {"clean": given.data / "clean", "noise": given.data / "noise"}
        places |= {"test_noisy": test / "noisy", "test_clean": test / "clean"}
        overrides += [f"data.{key}={path}" for key, path in places.items()]
    report = train(given.recipes, given.out, given.minutes, given.trial, given.stop, overrides, given.most)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
