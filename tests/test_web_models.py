"""Models behind the listening page: what it says of them, votes for them, and that it needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.served import HALF, QUARTER
from sordino.app.serve.blind_test import NEITHER, BlindTest, scores_table, tally
from sordino.app.serve.models import served_models
from sordino.assets import DEFAULT_STUDENT, shipped, student_file
from sordino.errors import InputError


def test_votes_are_counted_once_and_ties_reported() -> None:
    generator = np.random.default_rng(0)
    trial = BlindTest().begin(["half", "quarter"], generator)
    with pytest.raises(InputError, match="nothing is chosen; expected one of A, B, no preference"):
        trial.vote(None)
    voted = trial.vote(NEITHER)
    with pytest.raises(InputError, match="press Compare first"):
        voted.vote("A")
    with pytest.raises(InputError, match="no votes yet"):
        tally(trial, {})
    measured = voted.measure([{"id": "half", "pesq_wb": 2.0}, {"id": "half", "pesq_wb": 4.0}])
    table = tally(measured, {"half": HALF, "quarter": QUARTER})
    assert "Votes: 1, of them 1 without preference." in table
    assert "<td>3.00</td>" in table
    assert "means over the recordings of this test" in table
    assert "<td>–</td>" in scores_table([{"id": "noisy", "stoi": 0.5}])


def test_scores_of_a_round_count_with_its_vote() -> None:
    generator, rows = np.random.default_rng(0), [{"id": "half", "pesq_wb": 2.0}]
    voted = BlindTest().begin(["half", "quarter"], generator).measure(rows).vote(NEITHER)
    assert voted.measured == (*rows,)
    begun = voted.begin(["half", "quarter"], generator).measure([{"id": "half", "pesq_wb": 4.0}])
    assert "<td>2.00</td>" in tally(begun, {"half": HALF, "quarter": QUARTER}), "the second round has no vote yet"
    assert begun.begin(["half", "quarter"], generator).vote(NEITHER).measured == (*rows,), "and never gets one"


def test_served_models_say_size_cost_and_latency(tmp_path: Path) -> None:
    from helpers.graphs import held_back  # which needs onnx; all else here does not

    run = tmp_path / "mine"
    run.mkdir()
    (run / "best.onnx").write_bytes(student_file("unet-24").read_bytes())
    found = served_models([str(run / "best.onnx"), str(held_back(tmp_path / "theirs.onnx", 256))])
    assert next(iter(found)) == DEFAULT_STUDENT
    assert "43,560 parameters" in str(found["unet-24"])
    assert "latency 20 ms" in str(found["unet-24"])
    assert "needs the whole recording" in str(found["manner-s-1.5gf"])
    assert "43,560 parameters" in str(found["mine"])
    assert "latency 32 ms" in str(found["theirs"])  # a hop, and the hop by which it is late
    with pytest.raises(InputError, match="no such model"):
        served_models(["there-is-none.onnx"])
    reference = str(held_back(tmp_path / "clean.onnx", 256))
    assert reference in served_models([reference]), "clean is the reference that the page plays"


def test_the_page_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from sordino.app.serve import models, page, server"
    code += "; print(*models.served_models())"
    pytest.importorskip("gradio")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*shipped()]
