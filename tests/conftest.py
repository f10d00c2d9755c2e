"""What all tests share: one thread each, so that figures repeat and tests can run side by side, and the corpus."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from helpers.corpora import FEW, write_valentini
from helpers.ranks import copies
from helpers.shared import once, session_folder
from sordino import metrics
from sordino.data.sources import Synthetic, synthetic
from sordino.plugins import modules

torch.set_num_threads(1)
# A shell that starts the tests in the background may have it ignored, and processes that they start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The exporter writes thousands of records for torch's own developers, which pytest would keep and format.
logging.getLogger("torch.__trace").propagate = False


def pytest_collection_finish() -> None:
    """Spare the garbage collector what is there to stay: it would look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture
def shared() -> Path:
    """The folder of real recordings and reference figures that lies beside the project on the developers' machines."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared corpus beside the project")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for code of the user's, of which nothing is known and nothing stays imported."""
    monkeypatch.setattr(metrics, "imported", {})
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def no_named_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which modules the tests before named: every process that a test starts would import all of them."""
    monkeypatch.setattr(modules, "named_modules", {})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give the tests behind one whose recipe asks for more threads one thread again."""
    yield
    torch.set_num_threads(1)


@pytest.fixture
def few_test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the synthetic test set, to which ``helpers.warm`` does the same in the processes that tests start."""
    monkeypatch.setattr(synthetic, "TEST_PAIRS", FEW)


@pytest.fixture(scope="module")
def warm() -> None:
    """Start the process that those of a study's runs are copies of, with all that they need."""
    copies()


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of what all tests of a session share, in whatever process; see ``helpers.shared.once``."""
    folder = session_folder(tmp_path_factory, worker_id) / "kept"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def on_disk(kept: Path) -> Path:
    """The synthetic corpus as files, only to be read."""
    return once(kept / "embedded", Synthetic().write)


@pytest.fixture
def valentini(tmp_path: Path) -> Path:
    write_valentini(tmp_path)
    return tmp_path
