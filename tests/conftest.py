"""What all tests share: one thread each, so that figures repeat and tests can run side by side, and the corpus."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from helpers.corpora import FEW
from helpers.shared import session_folder
from sordino.data.sources import synthetic

torch.set_num_threads(1)
# The exporter writes thousands of records for torch's own developers, which pytest would keep and format.
logging.getLogger("torch.__trace").propagate = False


@pytest.fixture
def shared() -> Path:
    """The folder of real recordings and reference figures that lies beside the project on the developers' machines."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared corpus beside the project")
    return folder


@pytest.fixture
def few_test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the synthetic test set, to which ``helpers.warm`` does the same in the processes that tests start."""
    monkeypatch.setattr(synthetic, "TEST_PAIRS", FEW)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of what all tests of a session share, in whatever process; see ``helpers.shared.once``."""
    folder = session_folder(tmp_path_factory, worker_id) / "kept"
    folder.mkdir(exist_ok=True)
    return folder
