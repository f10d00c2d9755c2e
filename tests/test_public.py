"""The names of the package itself: functions with signatures and help, the same wherever they are imported from."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pydoc
import subprocess
import sys

import pytest

import sordino
from sordino.errors import INSTALL_TRAINING

HOMES = {
    "enhance": "sordino.inference.enhance",
    "evaluate": "sordino.evaluation.evaluate",
    "load": "sordino.models",
    "train": "sordino.experiments.run",
    "Streamer": "sordino.inference.streamer",
}
FIRST = {"enhance": "noisy", "evaluate": "model", "load": "path", "train": "recipe", "Streamer": "model"}

# A stand-in for an environment without torch: the import system looks at this list first.
WITHOUT_TORCH = """
import pydoc, sys
sys.modules["torch"] = None
import sordino
from sordino.errors import INSTALL_TRAINING
assert not hasattr(sordino, "train")
text = pydoc.render_doc(sordino, renderer=pydoc.plaintext)
assert "enhance(" in text and "class Streamer" in text
sordino.load
"""


@pytest.mark.parametrize("name", HOMES)
def test_a_public_name_is_one_object_with_a_signature_that_can_be_pickled(name: str) -> None:
    before = getattr(sordino, name)
    module = importlib.import_module(HOMES[name])
    assert getattr(sordino, name) is before is getattr(module, name)
    assert inspect.isfunction(before) or inspect.isclass(before)
    assert next(iter(inspect.signature(before).parameters)) == FIRST[name]
    assert pickle.loads(pickle.dumps(before)) is before


def test_help_lists_the_public_names() -> None:
    text = pydoc.render_doc(sordino, renderer=pydoc.plaintext)
    assert "class Streamer" in text
    for name in HOMES.keys() - {"Streamer"}:
        signature = f"{name}({FIRST[name]}: "
        assert signature in text
    assert set(sordino.__all__) == {"__version__", *HOMES}
    shown = {name for name in dir(sordino) if not name.startswith("_")}
    assert set(HOMES) <= shown
    assert shown.isdisjoint({"annotations", "importlib", "os", "Any", "TYPE_CHECKING"})


def test_without_torch_help_works_and_the_error_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"AttributeError: sordino.load needs torch; {INSTALL_TRAINING}"


def test_a_name_that_is_none_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'enhanced'"):
        _ = sordino.enhanced  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_imports_nothing_slow() -> None:
    words = [sys.executable, "-X", "importtime", "-c", "import sordino"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "sordino" in imported
    assert imported.isdisjoint({"torch", "numpy", "onnxruntime", "soundfile", "rich", "yaml"})
