"""The command line: help that teaches, answers in JSON, and what ends or leaves with 1."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from helpers.corpora import RATE
from helpers.noise import tone
from helpers.ranks import copies
from sordino.assets import shipped
from sordino.cli.base import Command
from sordino.cli.commands import COMMANDS, DATA_COMMANDS, Entry
from sordino.cli.main import main
from sordino.experiments import run


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("", "COMMAND: is missing; sordino --help shows what it takes"),
        ("enhnace a.wav", "did you mean enhance?"),
        ("data chek", "did you mean check?"),
        ("train", "recipe: is missing; sordino train --help shows what it takes"),
        ("train r.yaml --dryrun", "sordino train: no option --dryrun; did you mean --dry-run?"),
        ("train r.yaml --dryrun --out run", "sordino train: no option --dryrun; did you mean --dry-run?"),
        ("train r.yaml --bogus", "sordino train: no option --bogus; sordino train --help shows what it takes"),
        ("train r.yaml --steps 5", "sordino train: no option --steps; did you mean train.steps=VALUE?"),
        ("train r.yaml --batch-size 5", "no option --batch-size; did you mean train.batch_size=VALUE?"),
        ("train r.yaml --title x", "sordino train: no option --title; did you mean title=VALUE?"),
        ("--json models", "sordino models: --json is in the wrong place; write sordino models --json and the rest"),
        ("train r.yaml --train.steps", "--train.steps: has no value; expected --train.steps VALUE"),
        ("train r.yaml --train.steps --resume", "--train.steps: has no value; expected --train.steps VALUE"),
        ("enhance a.wav --modle x", "sordino enhance: no option --modle; did you mean --model?"),
        ("enhance a.wav --strength abc", "sordino enhance --strength: 'abc'; expected a number"),
        ("enhance a.wav --high-band no", "enhance --high-band: 'no'; expected one of follow, drop, keep"),
        ("train no.yaml train.steps=5 --out runs/lr=1", "no.yaml: no such recipe"),
    ],
)
def test_a_mistake_in_what_is_typed_is_one_line(
    typed: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "r.yaml").write_text("data: {name: synthetic}\nmodel: {name: unet, width: 4}\n")
    with pytest.raises(SystemExit) as left:
        main(typed.split())
    assert left.value.code == 2
    [printed] = capsys.readouterr().err.splitlines()
    assert line in printed
    assert [path.name for path in here.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        *(["enhance"], ["models"], ["train"], ["evaluate"], ["bench"], ["report"], ["export"], ["demo"]),
        *(["data", "check"], ["data", "prepare"], ["data", "render"], ["data", "shard"]),
    ],
    ids=" ".join,
)
def test_help_teaches(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "--json" in printed
    assert "example" in printed


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "render", "--help"]], ids=" ".join)
def test_help_imports_the_command_that_it_explains_and_nothing_heavy(words: list[str]) -> None:
    program = f"import sys\nfrom sordino.cli.main import main\ntry: main({words!r})\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    commands = {entry.module for entry in (*COMMANDS.values(), *DATA_COMMANDS.values())}
    assert {name for name in commands if f"sordino.cli.{name}" in imported} == {words[0]} - {"--help"}
    assert imported.isdisjoint({"torch", "numpy", "jsonargparse", "yaml"})


@pytest.mark.parametrize("entry", [*COMMANDS.values(), *DATA_COMMANDS.values()], ids=lambda entry: entry.name)
def test_every_command_of_the_table_is_there(entry: Entry) -> None:
    assert isinstance(entry.load(), Command)


def test_json_is_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write("in.wav", tone(0.5), RATE)
    main(["enhance", "in.wav", "-o", "out.wav", "--json"])
    assert json.loads(capsys.readouterr().out)["output"] == "out.wav"
    main(["models", "--json"])
    assert json.loads(capsys.readouterr().out)
    main(["bench", "valentini/manner-s-1.5gf", "--seconds", "0.5", "--repeats", "1", "--json"])
    output = json.loads(capsys.readouterr().out)
    assert output["parameters"] == 257785
    assert output["flops_paper"] / 1e9 == pytest.approx(1.46, rel=0.01)
    assert output["speed"]["median"] > 0


def test_the_students_that_ship_are_reported_with_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    main(["models"])
    head, *rows = capsys.readouterr().out.splitlines()
    output = {row.split("  ")[0]: row for row in rows}
    column = slice(head.index("PESQ-wb"), head.index("PESQ-wb") + len("PESQ-wb"))
    for name, card in shipped().items():
        assert f"{card['parameters']:,}" in output[name]
        assert float(output[name][column]) == round(card["scores"]["model"]["pesq_wb"], 3)
        assert float(output["noisy input"][column]) == round(card["scores"]["noisy"]["pesq_wb"], 3)


def test_a_folder_is_reported_file_by_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "in" / "deep").mkdir(parents=True)
    soundfile.write("in/a.wav", tone(0.5), RATE)
    soundfile.write("in/deep/b.flac", tone(0.25), RATE)
    (here / "in" / "bad.wav").write_text("words")
    with pytest.raises(SystemExit) as left:
        main(["enhance", "in", "-o", "out"])
    assert left.value.code == 1
    first, bad, second, last = capsys.readouterr().out.splitlines()
    assert first == "in/a.wav -> out/a.wav: 0.50 s at 16000 Hz"
    assert bad.startswith("in/bad.wav: ")
    assert second == "in/deep/b.flac -> out/deep/b.flac: 0.25 s at 16000 Hz"
    assert last == "out: 2 files, 1 failed"


def test_a_corpus_with_problems_leaves_with_1(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, names in (("noisy", "ab"), ("clean", "a")):
        (here / "corpus" / folder).mkdir(parents=True)
        for name in names:
            soundfile.write(here / "corpus" / folder / f"{name}.wav", tone(0.5), RATE)
    with pytest.raises(SystemExit) as left:
        main(["data", "check", "corpus", "--measure", "0"])
    assert left.value.code == 1
    assert "missing partner" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("evaluate noisy --data n c --recipe r.yaml", "evaluate: both --data and --recipe; expected one of them"),
        ("bench dualpath-14 --style csv", "--style: csv for one model; expected --all"),
        ("bench --all --model-rate 8000", "--model-rate: is for one model"),
        ("bench --all --counts --seconds 0", "seconds: 0; expected more than 0"),
        ("bench --all --counts --seconds nan", "seconds: nan; expected more than 0"),
        ("bench --all --counts --threads 0", "threads: 0; expected 1 or more"),
        ("evaluate noisy --data n c --intervals", "--intervals: is for several models"),
        ("export dualpath-14 -o page/student.onnx --web page", "-o: page/student.onnx lies in the folder of the page"),
        ("train runs/lr=0.1/r.yaml", "runs/lr=0.1/r.yaml: "),
        ("data check n data.seed=1", "data.seed=1: changes a recipe, and n is none"),
        ("data check r.yaml --sample-rate 8000", "--sample-rate: is for a corpus; expected a folder"),
        ("data check r.yaml --measure 3", "--measure: is for a corpus; expected a folder"),
        ("evaluate noisy --data n c --split valid", "--split: is for the data of a recipe; expected --recipe"),
        ("evaluate noisy --data n c --dnsmos no.onnx", "--dnsmos: there is no file no.onnx"),
        ("evaluate noisy --data n c --examples 2", "--examples: no page to show them on; expected --page"),
        ("report runs/a --examples 2", "--examples: no page to show them on; expected --output"),
        ("serve --name demo.example.org:8080", "--name: 'demo.example.org:8080'; expected the name of a host alone"),
    ],
)
def test_what_contradicts_itself_is_one_line(
    words: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"sordino: {line}")
    assert not (here / "page").exists()


def run_telling(file: Path, *words: str) -> None:
    """Run a command in this process; what it tells goes into a file."""
    with file.open("w") as output, contextlib.redirect_stderr(output):
        main(words)


def test_ctrl_c_leaves_a_run_to_resume(here: Path) -> None:
    (here / "r.yaml").write_text(
        "data: {name: synthetic, segment_s: 0.5}\nmodel: {name: manner-s, hidden: 2, depth: 3}\n"
        "train: {steps: 100000, batch_size: 1, accelerator: cpu, workers: 0, threads: 1, log_every: 1}\n"
    )
    process = copies().Process(
        target=run_telling, args=(here / "output", "train", "r.yaml", "train.seed=1", "--out", "run")
    )
    process.start()
    log = here / "run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(60)
    output = (here / "output").read_text()
    assert process.exitcode == 130, output
    expected = r"sordino: stopped at step \d+, saved; go on with: sordino train r.yaml train.seed=1 --out run --resume"
    assert re.fullmatch(expected, output.splitlines()[-1])
    assert (here / "run" / "state.pt").is_file()
    assert not list((here / "run").glob(".*"))


def test_ctrl_c_in_a_launched_run_names_the_launcher(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "r.yaml").write_text("data: {name: synthetic}\nmodel: {name: manner-s, hidden: 2, depth: 3}\n")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt("stopped at step 3, saved")

    monkeypatch.setattr(run, "train", stopped)
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="130"):
        main(["train", "r.yaml"])
    message = "sordino: stopped at step 3, saved; go on with the same launcher and: sordino train r.yaml --resume"
    assert capsys.readouterr().err.splitlines()[-1] == message


@pytest.mark.parametrize(
    ("variables", "turns"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "x"}, None)]
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_how(
    variables: dict[str, str], turns: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, variables.get(name, ""))
        if name not in variables:
            monkeypatch.delenv(name)
    main(["models"])
    assert os.environ.get("GOMP_SPINCOUNT") == turns
