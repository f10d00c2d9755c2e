"""The house keeps its shape: imports point down, siblings leave each other alone, words stay in their rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "sordino"
FILES = sorted(ROOT.rglob("*.py"))

# Room -> floor. A line may import from lower floors and from its own room, never from a sibling or from above.
FLOORS = {
    **dict.fromkeys(("cli", "commands", "terminal", "__main__"), 8),
    **dict.fromkeys(("benchmark", "recipes", "quantising", "schema", "sections", "teachers", "study", "findings"), 7),
    **dict.fromkeys(("comparison", "demo", "site", "web"), 7),
    "train": 6,
    "evaluate": 5,
    "enhance": 4,
    **dict.fromkeys(("distill", "export", "stream"), 3),
    **dict.fromkeys(("models", "data", "losses", "metrics"), 2),
    **dict.fromkeys(
        (
            "audio",
            "types",
            "errors",
            "files",
            "verb",
            "version",
            "commit",
            "shelf",
            "function",
            "runtime",
            "processes",
            "placement",
            "__init__",
        ),
        1,
    ),
}
SHARED = (1, 7, 8)  # floors whose few files work together

# A word, and the only places where it may stand.
WORDS = {
    r"(?<!\.)\bprint\(": ("cli.py",),
    r"\.backward\(": ("train/",),
    r"\bsoundfile\b": ("audio/",),
    r"\bimport pesq|\bfrom pesq": ("metrics/",),
    r"\bimport pystoi|\bfrom pystoi": ("metrics/",),
    r"\bimport onnx\b": ("export/",),
    r"^\s*except:": (),
    r"load_state_dict\(.*strict=False": (),
    r"\bTODO\b|\bFIXME\b": (),
}


def room_of(path: Path) -> str:
    below = path.relative_to(ROOT)
    return below.parts[0] if len(below.parts) > 1 else below.stem


def imports(path: Path) -> set[str]:
    """The rooms that a file imports at run time, at its top or inside a function."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"sordino.{alias.name}" for alias in node.names] if node.module == "sordino" else [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("sordino.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        pytest.skip("the front door opens every room on demand")
    for other in imports(path) - {room}:
        higher = FLOORS[other] > FLOORS[room]
        sibling = FLOORS[other] == FLOORS[room] and FLOORS[room] not in SHARED
        assert not higher, f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]}) above it"
        assert not sibling, f"{room} imports its sibling {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is long"


@pytest.mark.parametrize("pattern", WORDS)
def test_words_stay_in_their_rooms(pattern: str) -> None:
    strangers = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line) and not str(path.relative_to(ROOT)).startswith(WORDS[pattern] or ("-",))
    ]
    assert not strangers


def test_every_module_says_what_it_is() -> None:
    assert [str(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import sordino, sordino.enhance, sordino.inference, sordino.cli.main; sordino.Streamer"],
        ["-m", "sordino", "enhance", "--help"],
        ["-m", "sordino", "--version"],
        ["-m", "sordino", "models"],
    ],
    ids=" ".join,
)
def test_the_first_tier_imports_no_torch(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "sordino" in imported
    assert imported.isdisjoint({"torch", "lightning_fabric", "scipy", "matplotlib", "onnx", "jsonargparse", "yaml"})
