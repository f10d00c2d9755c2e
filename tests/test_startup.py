"""What a command does before it works: it opens the session that it runs, and imports what it needs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from sordino.assets import student_file
from sordino.audio import sound_files
from sordino.cli.main import main
from sordino.errors import INSTALL_TRAINING, TRAINING_TIER

COUNT = """
import json, sys
import onnxruntime

read, sessions = [], []
sys.addaudithook(lambda event, values: read.append(str(values[0])) if event == "open" else None)

class Counted(onnxruntime.InferenceSession):
    def __init__(self, path, *args, **kwargs):
        sessions.append(str(path))
        super().__init__(path, *args, **kwargs)

onnxruntime.InferenceSession = Counted
from sordino.cli.main import main
main(sys.argv[1:])
cards = [name for name in read if name.endswith(".json")]
print(json.dumps({"sessions": sessions, "cards": cards, "rich": "rich" in sys.modules}), file=sys.stderr)
"""


def run(*words: str, stdin: Path | None = None) -> dict:
    with open(stdin or "/dev/null", "rb") as source:
        done = subprocess.run([sys.executable, "-c", COUNT, *words], stdin=source, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stderr.decode().splitlines()[-1])


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    wave = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000)
    sound_files.write(tmp_path / "noisy.wav", wave.astype(np.float32), 16000)
    return tmp_path / "noisy.wav"


@pytest.mark.parametrize(
    ("model", "graph"),
    [([], "dualpath-24.stream.onnx"), (["--model", "manner-s-1.5gf-int8"], "manner-s-1.5gf-int8.onnx")],
)
def test_a_file_is_enhanced_with_one_session_and_no_card_is_read(noisy: Path, model: list[str], graph: str) -> None:
    found = run("enhance", str(noisy), "-o", str(noisy.with_name("clean.wav")), *model)
    assert found == {"sessions": [str(student_file().with_name(graph))], "cards": [], "rich": False}


def test_a_stream_opens_its_graph_alone(noisy: Path) -> None:
    found = run("enhance", "--stream", stdin=noisy)
    # Once fixed to a single hop, and once for the blocks that hold several.
    assert found == {"sessions": [str(student_file(suffix=".stream.onnx"))] * 2, "cards": [], "rich": False}


def test_a_checkpoint_and_the_sources_of_data_load_nothing_heavy_that_they_do_not_use() -> None:
    code = """
import sys
from sordino import models
from sordino.data import sources
models.load(sys.argv[1])
print([name for name in ("torch._dynamo", "sympy", "scipy.signal") if name in sys.modules])
"""
    path = str(student_file(suffix=".safetensors"))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", "each takes a second of a processor"


def test_the_training_tier_names_all_that_its_extra_installs() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [re.split(r"[^\w-]", line)[0].lower() for line in project["optional-dependencies"]["train"]]
    installed = packages_distributions()
    named = [{one.lower().replace("_", "-") for one in installed[name]} for name in TRAINING_TIER]
    assert len(named) == len(wanted)
    assert [name for name, found in zip(wanted, named, strict=True) if name not in found] == []


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("export best.safetensors -o student.onnx", "onnx"),
        ("export best.safetensors -o student.onnx", "onnxscript"),
        ("train recipe.yaml", "yaml"),
        ("train recipe.yaml", "jsonargparse"),
        ("train recipe.yaml", "filelock"),
        ("train recipe.yaml", "tensorboard"),
        ("new my", "yaml"),
        ("evaluate noisy --data noisy clean", "pystoi"),
    ],
)
def test_a_package_that_is_missing_beside_torch_is_named_in_one_line(
    words: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(student_file("unet-24", ".safetensors").read_bytes())
    monkeypatch.setitem(sys.modules, package, None)  # the import system then finds no such package
    with pytest.raises(SystemExit) as left:
        main(words.split())
    assert left.value.code == 2
    assert capsys.readouterr().err == f"sordino: this command: needs {package}; {INSTALL_TRAINING}\n"
