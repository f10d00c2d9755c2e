"""The second tier in an environment of its own, with the newest versions of what it needs and with the oldest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers.fresh import copy_sources, fresh_python, install, install_oldest

# torch without CUDA is 0.7 GB, and with it 5.
pytestmark = pytest.mark.slow

RECIPE = """
out: run
data: {name: synthetic, segment_s: 1.0, valid_items: 2, epoch_size: 8}
model: {name: unet, width: 8, depth: 3, groups: 2}
teacher: {checkpoint: dualpath-24, cache: cache}
loss: {compressed: {}, perceptual: {}}
distill: {output: {loss: compressed}}
train: {steps: 4, batch_size: 2, accelerator: cpu, validate_every: 2, log: [tensorboard]}
"""
ROAD = [
    "train recipe.yaml --dry-run",
    "train recipe.yaml",
    "export run/best.safetensors -o student.onnx",
    "evaluate run/best.safetensors student.onnx --recipe recipe.yaml --split valid --metrics pesq_wb stoi si_sdr_db",
    "report run --out report",
]


@pytest.mark.parametrize("versions", ["newest", "oldest"])
def test_a_student_is_trained_exported_and_scored(versions: str, tmp_path: Path) -> None:
    python = fresh_python(tmp_path)
    copy_sources(tmp_path)
    if versions == "newest":
        install(python, f"{tmp_path}[train]")
    else:
        install_oldest(python, tmp_path, "train")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    for command in ROAD:
        words = [str(python), "-I", "-m", "sordino", *command.split()]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        print(done.stdout)
    assert (tmp_path / "report").exists()
