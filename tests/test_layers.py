"""The package keeps its layers: imports point down, siblings leave each other alone, words stay in their places."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "sordino"
FILES = sorted(ROOT.rglob("*.py"))

# Subpackage -> layer; a file at the top of the package counts as one, too. A file may import from its own subpackage
# and from lower layers: never from another subpackage of the same layer, never from above. Imports for types count like
# any other. Below all layers is the base: files that anything may import, in an order of their own.
LAYERS = {
    **dict.fromkeys(("__main__", "__init__"), 11),
    "cli": 10,
    **dict.fromkeys(("app", "app/serve"), 9),
    **dict.fromkeys(("app/site", "experiments"), 8),
    **dict.fromkeys(("training", "report/pages"), 7),
    "report": 6,
    **dict.fromkeys(("evaluation", "conformance"), 5),
    **dict.fromkeys(("metrics", "export", "data/tools", "distill/methods"), 4),
    **dict.fromkeys(("inference", "data/sources", "distill/teachers", "losses"), 3),
    **dict.fromkeys(("models", "data", "distill/layers", "inference/graphs"), 2),
    **dict.fromkeys(("models/layers", "models/published", "audio", "assets", "distill", "plugins"), 1),
}
# A file of the base imports from those before it alone.
BASE = ("errors", "types", "version", "placement", "files", "json_files", "distributed")
HEIGHTS = LAYERS | {name: place - len(BASE) for place, name in enumerate(BASE)}
MOST_LOOSE_FILES = 9

# A word, and the only places where it may stand.
WORDS = {
    r"(?<!\.)\bprint\(": ("cli/main.py",),
    r"\.backward\(": ("training/", "conformance/"),
    r"\bsoundfile\b": ("audio/",),
    r"\bimport pesq|\bfrom pesq": ("metrics/",),
    r"\bimport pystoi|\bfrom pystoi": ("metrics/",),
    r"\bimport onnx\b": ("export/",),
    r"^\s*except:": (),
    r"^\s*from \.": (),  # the layers are those of absolute imports
    r"load_state_dict\(.*strict=False": (),
    r"\bTODO\b|\bFIXME\b": (),
}


def package_of(path: Path) -> str:
    """The folder of a file below the package, or the name of a file at its top."""
    below = path.relative_to(ROOT)
    return below.parent.as_posix() if len(below.parts) > 1 else below.stem


def module_of(name: str) -> Path | None:
    """The file of a dotted name of the package; None for what is no module."""
    path = ROOT.joinpath(*name.split(".")[1:])
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file."""
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> set[Path]:
    """The files of the package that a file imports: at its top, inside a function, or for types alone."""
    files = set()
    for node in ast.walk(parsed(path)):
        names: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        for full, holder in names:
            if holder.split(".")[0] == "sordino":
                files |= {file for file in (module_of(full) or module_of(holder),) if file is not None}
    return files


def test_imports_point_down() -> None:
    upward = []
    for path in FILES:
        own = package_of(path)
        for other in {package_of(file) for file in imports(path)} - {own}:
            if HEIGHTS[other] >= HEIGHTS[own]:
                upward.append(f"{path} (layer {HEIGHTS[own]}) imports {other} (layer {HEIGHTS[other]})")
    assert upward == []


def test_no_file_imports_itself_through_others() -> None:
    below = {path: imports(path) - {path} for path in FILES}
    while True:
        free = [path for path, others in below.items() if not others & below.keys()]
        if not free:
            break
        for path in free:
            del below[path]
    circles = {path: others & below.keys() for path, others in below.items()}
    assert not circles, {
        str(one.relative_to(ROOT)): [str(o.relative_to(ROOT)) for o in circles[one]] for one in circles
    }


def test_every_subpackage_has_a_layer_and_few_files_are_loose() -> None:
    assert {package_of(path) for path in FILES} == HEIGHTS.keys()
    assert len(list(ROOT.glob("*.py"))) <= MOST_LOOSE_FILES


def test_the_page_on_design_draws_the_same_layers() -> None:
    page = (ROOT.parents[1] / "docs" / "design.md").read_text("utf-8")
    layer, drawn = "", {}
    for number, name in re.findall(r"^ {2,3}(\d*) +([a-z_/]+)/ ", page, re.MULTILINE):
        layer = number or layer  # written before the first subpackage of a layer
        drawn[name] = int(layer)
    assert drawn == {name: number for name, number in LAYERS.items() if (ROOT / name).is_dir()}


def test_files_stay_small() -> None:
    top = ROOT.parents[1]
    files = [path for folder in ("src", "tests", "benchmarks") for path in (top / folder).rglob("*.py")]
    assert [str(path) for path in files if path.read_text("utf-8").count("\n") > 250] == []


def test_functions_stay_small() -> None:
    long = []
    nodes = [(path, node) for path in FILES for node in ast.walk(parsed(path))]
    for path, node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            docstring = (ast.get_docstring(node, clean=False) or "").count("\n") + 1
            if lines > 60 or lines - docstring > 45:
                long.append(f"{path}: {node.name}")
    assert long == []


@pytest.mark.parametrize("pattern", WORDS)
def test_words_stay_in_their_places(pattern: str) -> None:
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
        ["-c", "import sordino, sordino.inference.enhance, sordino.cli.main; sordino.Streamer"],
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
