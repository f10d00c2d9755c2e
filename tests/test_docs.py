"""The first example of every page of docs/ runs, and no command has an option that is not there.

The first example is every fenced block above the first section: files (a block with a title), commands and Python.
Recordings are synthetic and short, and trainings are cut to two steps.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from docs_pages import PAGES, ROOT, STEPS, Block, blocks_of, commands_of, first_example, read, section, shortened
from helpers.corpora import RATE, write_spoken
from helpers.ranks import copies
from sordino import models
from sordino.app.site import npm
from sordino.cli.main import main
from sordino.errors import InputError

WITHOUT_EXAMPLE = {"design.md", "security.md"}  # which explain
RUN_ELSEWHERE = {"export.md", "int8.md"}  # tests/test_export.py and tests/test_int8.py run them: they take long
SLOWEST = "your-own-network.md"  # it checks a network, which exports it
EXAMPLES = [page for page in PAGES if page not in WITHOUT_EXAMPLE | RUN_ELSEWHERE | {SLOWEST}]
SIDES = ("noisy", "clean")
SEGMENT_S = {"losses.md": 1.0}
"""Of pages whose losses need more than half a second."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recordings that the pages speak of."""
    home, rng = tmp_path_factory.mktemp("docs"), np.random.default_rng(0)
    for who in ("ann", "ben", "eve"):
        write_spoken(home / "my" / "noise" / f"{who}-street.wav", home / "my" / "speech" / who / "1.wav", rng)
    write_spoken(home / "noisy" / "one.wav", home / "clean" / "one.wav", rng)
    for copy in (home / "my" / "test", home / "my"):
        shutil.copytree(home / "noisy", copy / "noisy")
        shutil.copytree(home / "clean", copy / "clean")
    write_spoken(home / "my" / "noisy" / "two.wav", home / "my" / "clean" / "two.wav", rng)
    for name in ("ann", "ben"):
        write_spoken(home / "recordings" / f"{name}_1.wav", home / "unused.wav", rng)
    shutil.copy(home / "noisy" / "one.wav", home / "noisy.wav")
    for split, speakers in (("trainset_28spk", ("p226", "p282", "p287")), ("testset", ("p232",))):
        for speaker in speakers:
            names = [home / "downloads" / "valentini" / f"{side}_{split}_wav" / f"{speaker}_1.wav" for side in SIDES]
            write_spoken(*names, rng)
    for name, source in (("clean", "speech"), ("noise", "noise"), ("pairs", "test")):
        shutil.copytree(home / "my" / source, home / "data" / "corpus" / name)
    return home


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A microphone that hears silence and a speaker, in the place of PortAudio's."""

    class Stream:
        latency = (0.01, 0.01)

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __enter__(self) -> Stream:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, frames: int) -> tuple[np.ndarray, bool]:
            return np.zeros((frames, 1), np.float32), False

        def write(self, data: np.ndarray) -> bool:
            return False

    both = {"index": 0, "name": "made up", "max_input_channels": 1, "max_output_channels": 1}
    both["default_samplerate"] = RATE
    known = SimpleNamespace(
        PortAudioError=OSError,
        Stream=Stream,
        query_devices=lambda device=None, kind=None: [both] if kind is None else both,
        check_input_settings=lambda *_, **__: None,
        check_output_settings=lambda *_, **__: None,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", known)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the place of onnxruntime-web, which would be fetched from the npm registry."""
    monkeypatch.setattr(npm, "runtime", lambda: dict.fromkeys(npm.MEMBERS, b"made up"))


def serve(words: list[str]) -> None:
    """Run ``sordino serve`` until its page was read, and end it as a service is ended."""
    pytest.importorskip("gradio", reason="needs sordino[web]")
    output = io.StringIO()
    pages: list[str] = []

    def visit() -> None:
        while (address := re.search(r"http://127\S+", output.getvalue())) is None:
            time.sleep(0.1)
        pages.append(urllib.request.urlopen(address.group()).read().decode())
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=visit, daemon=True).start()
    with contextlib.redirect_stderr(output):
        main(words)
    assert "<html" in pages[0]


def run_command(words: list[str]) -> None:
    """Run one command in this process, but for scripts; what a launcher would start runs as one process."""
    if words[0] == "python":
        subprocess.run([sys.executable, str(ROOT / words[1]), *words[2:]], check=True, capture_output=True, cwd=Path())
        return
    words = words[words.index("sordino") + 1 :]
    if words[0] == "serve":
        serve(words)
        return
    if words[0] == "train" and not words[1].endswith(".yaml"):
        words += [f"train.{key}={value}" for key, value in STEPS.items()] + ["data.segment_s=0.5"]
    if words[0] == "live" and "--seconds" in words:
        words += ["--seconds", "0.1"]
    if words[:2] == ["data", "check"]:
        words += ["--measure", "0"]
    main(words)


def run_example(page: str, blocks: Iterable[Block]) -> None:
    for block in blocks:
        if block.title:
            short = block.text if block.language == "python" else shortened(block.text, SEGMENT_S.get(page, 0.5))
            Path(block.title).write_text(short)
        elif block.language == "sh":
            for words in commands_of([block]):
                run_command(words)
        else:
            assert block.language == "python"
            exec(compile(block.text, page, "exec"), {"__name__": "page"})


def set_up(page: str) -> None:
    """Make what the reader of a page has beside the recordings, and the process that a study's runs are copies of."""
    if page == "studies.md":
        copies()
    if page == "recipes.md":
        shutil.copytree("downloads/valentini", "data/valentini")
    if page == "report.md":
        data = {"name": "mix", "clean": "my/speech", "noise": "my/noise", "segment_s": 0.5, "valid_items": 1}
        tests = {"test_noisy": "my/test/noisy", "test_clean": "my/test/clean"}
        model = {"name": "unet", "width": 4, "depth": 2, "groups": 1}
        recipe = {"data": data | tests, "model": model, "loss": {"l1": {}}, "train": STEPS}
        Path("run.yaml").write_text(yaml.safe_dump(recipe))
        main(["train", "run.yaml", "--out", "runs/student"])
        shutil.copytree("runs/student", "runs/baseline")


@pytest.mark.usefixtures("devices", "runtime", "own_code")
@pytest.mark.parametrize("page", [*EXAMPLES, pytest.param(SLOWEST, marks=pytest.mark.slow)])
def test_the_first_example_of_every_page_runs(
    page: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "gpu.md" and not (ROOT / ".git").exists():
        pytest.skip("packs what git knows")
    folder = tmp_path / "home"
    shutil.copytree(home, folder)
    monkeypatch.chdir(folder)
    set_up(page)
    before = {path for path in folder.rglob("*") if path.is_file()}
    run_example(page, first_example(page))
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path not in before}
    assert set(LEFT.get(page, [])) <= made


@pytest.mark.usefixtures("own_code")
def test_a_network_trained_elsewhere_teaches_its_features(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "your-own-teacher.md"
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.syspath_prepend(tmp_path / "home")  # as of a script beside the class
    file, *others = blocks_of(section(read(page), "A torch network whose features teach"))
    run_example(page, [file])
    network = models.create("my_mask:Teacher", width=32)
    torch.save(network.state_dict(), "mine.pth")
    with pytest.raises(InputError, match=r"mine\.pth: no checkpoint of.*models\.save, see docs/your-own-teacher\.md"):
        models.load("mine.pth")
    run_example(page, others)
    torch.testing.assert_close(models.load("mine.safetensors").state_dict(), network.state_dict())
    assert Path("runs", "features", "best.safetensors").is_file()


LEFT = {
    "index.md": ["clean.wav"],
    "enhance.md": ["clean.wav"],
    "web.md": ["page/index.html"],
    "training.md": ["runs/mine/best.safetensors", "runs/mine/state.pt", "runs/mine/recipe.yaml", "runs/mine/log.jsonl"],
    "distillation.md": ["runs/student/best.safetensors"],
    "cache.md": ["runs/answers/cache.json"],
    "data-tools.md": ["data/valentini/clean_testset_wav/p232_1.flac"],
    "report.md": ["report.html"],
    "your-own-method.md": ["runs/contrast/best.safetensors"],
    "your-own-network.md": ["runs/mask/best.safetensors", "mask.onnx", "mask.stream.onnx", "clean.wav"],
    "your-own-teacher.md": ["runs/taught/best.safetensors"],
    "studies.md": ["runs/studies/study/table.md", "runs/studies/study/study.html"],
    "gpu.md": ["runs/gpu-pack/pack.tar"],
}
"""What an example leaves behind."""


def test_every_page_has_an_example() -> None:
    languages = {page: {block.language for block in first_example(page)} for page in PAGES}
    without = {page for page, found in languages.items() if found.isdisjoint({"sh", "python"})}
    assert without <= WITHOUT_EXAMPLE


def test_commands_of_all_pages_have_the_options_that_they_are_given() -> None:
    helps: dict[tuple[str, ...], str] = {}
    for page in PAGES:
        for words in commands_of(blocks_of(read(page))):
            if "sordino" not in words:
                continue
            words = words[words.index("sordino") + 1 :]
            name = tuple(words[: 2 if words[0] == "data" else 1])
            if name not in helps:
                with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as left:
                    main([*name, "--help"])
                assert left.value.code == 0, (page, words)
                helps[name] = output.getvalue()
            options = {word for word in words if re.match(r"--?[a-z]", word)}
            assert {option for option in options if not re.search(rf"{option}\b", helps[name])} == set(), (page, words)
    assert len(helps) > 10
