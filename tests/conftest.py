"""What all tests share: one thread each, so that figures repeat and tests can run side by side, and the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def shared() -> Path:
    """The folder of real recordings and reference figures that lies beside the project on the developers' machines."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared corpus beside the project")
    return folder
