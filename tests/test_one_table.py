"""What a table of runs and models must not mix up: names, recordings of the same names, alignments, and whose speed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.corpora import write_pairs
from helpers.recipes import SOUND, UNET, settings
from sordino.errors import InputError
from sordino.evaluation.score import score
from sordino.evaluation.signals import first_other
from sordino.experiments import run
from sordino.experiments.compare import compare
from sordino.experiments.finished import NOISY_SCORES
from sordino.experiments.run import SCORES
from sordino.types import Item

pytestmark = pytest.mark.usefixtures("few_test_pairs")

RECIPE = {"data": SOUND, "model": UNET, "train": settings(1, batch_size=1)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a title, in a folder that is called like a student that ships."""
    folder = tmp_path_factory.mktemp("runs") / "unet-24"
    run.train(RECIPE, out=folder)
    return folder


def test_a_run_that_is_called_like_a_student_has_a_row_of_its_own(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    rows, _ = compare([trained, "unet-24"], page, examples=1, against="unet-24")
    mine = f"unet-24 ({trained})"
    assert [row.name for row in rows] == ["noisy", mine, "unet-24"]
    assert [row.in_torch for row in rows] == [False, True, False], "a checkpoint is timed in torch, an ONNX file is not"
    assert rows[1].rtf != rows[2].rtf
    assert [row.against for row in rows] == ["unet-24"] * 3
    assert rows[1].differences["pesq_wb"].mean == pytest.approx(rows[1].means["pesq_wb"] - rows[2].means["pesq_wb"])
    assert page.read_text("utf-8").count("<audio") == 4, "noisy, both models, clean"
    with pytest.raises(InputError, match="named twice"):
        compare([trained, trained])


def test_scores_of_other_recordings_with_the_same_names_are_refused(tmp_path: Path) -> None:
    runs = []
    noisy, clean = write_pairs(tmp_path / "train")
    for folder, level in (("one", 0.02), ("other", 0.04)):
        tests = write_pairs(tmp_path / folder, speakers=3, level=level)
        data = {"name": "pairs", "noisy": noisy, "clean": clean, "test_noisy": tests[0], "test_clean": tests[1]}
        runs.append(tmp_path / f"run-{folder}")
        run.train({**RECIPE, "data": data}, out=runs[-1])
    with pytest.raises(InputError, match=r"other recordings than .*run-one, of the same names: .* is not the same"):
        compare(runs)
    assert len(compare(runs[:1])[0]) == 2
    shutil.copy(runs[0] / NOISY_SCORES, runs[1] / NOISY_SCORES)
    (row, _), _ = compare(runs[1:])
    own = run.evaluate("noisy", recipe=runs[1] / "recipe.yaml").means()
    assert row.means["pesq_wb"] == own["pesq_wb"], "the noisy input of other recordings is not taken for its own"


def test_scores_by_another_alignment_are_refused(trained: Path, tmp_path: Path) -> None:
    run.evaluate("unet-24", recipe=trained / "recipe.yaml", out=tmp_path / "lag", align="lag", workers=0)
    with pytest.raises(InputError, match=r"was scored with --align lag, and .* with --align exact"):
        compare([trained, tmp_path / "lag"])


def test_damaged_scores_of_the_noisy_input_are_measured_anew(trained: Path) -> None:
    (expected, _), _ = compare([trained])
    (trained / NOISY_SCORES).write_text("{")
    assert (trained / SCORES).is_file()
    (found, _), _ = compare([trained])
    assert found.means == expected.means


def test_damaged_scores_of_a_run_say_what_to_do(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / SCORES).write_text('{"rows": 3}')
    with pytest.raises(
        InputError, match=r"scores\.json: does not hold scores; remove it: the run is then scored again"
    ):
        compare([tmp_path / "run"])


def as_items(noisy: np.ndarray, clean: np.ndarray | None) -> list[Item]:
    return [Item(noisy, clean, len(noisy), "one", "")]


def test_levels_tell_signals_apart_and_bear_rounding() -> None:
    generator = np.random.default_rng(0)
    clean, noise, other = 0.1 * generator.standard_normal((3, 16000)).astype(np.float32)

    def metadata(noisy: np.ndarray, reference: np.ndarray | None = clean) -> dict[str, Any]:
        return score(None, as_items(noisy, reference), ["snr_db"] if reference is not None else ["dnsmos"]).metadata

    first = metadata(clean + noise)
    assert first_other(first, metadata((clean + noise) * np.float32(1 + 1e-5))) is None
    assert first_other(first, metadata(clean + other)) == "one", "noise of the same level"
    assert first_other(first, metadata(clean + noise, other)) == "one"
    assert first_other(first, {}) is first_other({}, first) is None, "older scores say nothing"
    assert first_other(first, {"levels": "damaged"}) is None
