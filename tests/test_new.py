"""``sordino new``: what lies in a folder, and a recipe that works on it at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from sordino.assets import DEFAULT_STUDENT
from sordino.audio.folders import list_audio
from sordino.cli.main import main
from sordino.data.tools.survey import survey
from sordino.errors import InputError
from sordino.experiments.build import build_source, build_trainer
from sordino.experiments.draft import draft
from sordino.experiments.recipe import read
from sordino.experiments.schema import Component


def record(folder: Path, count: int, rate: int = 16000, seconds: float = 1.0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        sound = 0.1 * np.random.default_rng(number).standard_normal(round(seconds * rate))
        soundfile.write(folder / f"s{number}_a.wav", sound, rate)


def test_speech_and_noise_become_a_recipe_that_trains(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(here / "mine" / "speech", 12)
    record(here / "mine" / "noise", 9)
    main(["new", "mine"])
    output = capsys.readouterr().out
    assert "mine: clean speech and noise" in output
    assert "speech clean 12 0.2 12 speakers 16000" in " ".join(output.split())
    assert "less than ten minutes" in output
    assert "sordino data prepare" not in output, "the rate is right"
    recipe = read("mine.yaml")
    assert "data.augment: null leaves them as they are" in Path("mine.yaml").read_text()
    assert (recipe.out, recipe.teacher) == ("runs/mine", None)
    source = build_source(recipe.data)
    assert len(source.valid()) == len(source.test()) == 32
    main(["train", "mine.yaml", "train.steps=1", "train.batch_size=1", "train.validate_every=1", "data.valid_items=1"])
    assert (here / "runs" / "mine" / "best.safetensors").is_file()
    with pytest.raises(SystemExit):
        main(["new", "mine"])
    assert "mine.yaml: is there already" in capsys.readouterr().err
    main(["new", "mine", "-o", "other.yaml"])
    assert read("other.yaml").out == "runs/other", "a run of its own"
    best = "runs/other/best.safetensors"
    assert f"sordino evaluate noisy {DEFAULT_STUDENT} {best} --recipe other.yaml" in capsys.readouterr().out


def test_printed_commands_work_with_names_that_hold_spaces(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(here / "my voice" / "speech", 12)
    record(here / "my voice" / "noise", 9)
    for words, named in ((["my voice"], "'my voice.yaml'"), (["my voice", "-o", "my=voice.yaml"], "./my=voice.yaml")):
        main(["new", *words])
        assert f"sordino train {named}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "name", "line"),
    [
        ("--teacher", "nope.onnx", "nope.onnx: no such file"),
        ("--teacher", "gtcrn:nope.onnx", "nope.onnx: no such file"),
        ("--teacher", "unet24", "no model 'unet24'"),
        ("--student", "unet24", "did you mean unet-24?"),
    ],
)
def test_a_model_that_is_not_there_is_named_before_a_recipe_is_written(
    option: str, name: str, line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("speech", "noise"):
        record(here / "mine" / folder, 9)
    with pytest.raises(SystemExit):
        main(["new", "mine", option, name])
    assert line in capsys.readouterr().err
    assert not Path("mine.yaml").exists()


def test_pairs_go_with_their_own_tests_or_keep_some(here: Path) -> None:
    for side in ("noisy", "clean"):
        record(here / "mine" / side, 12)
    kept = draft(survey("mine"))
    assert kept["data"]["test_fraction"] == 0.1
    for side in ("noisy", "clean"):
        record(here / "mine" / "test" / side, 3)
        record(here / "mine" / "valid" / side, 2)
    given = read(draft(survey("mine")))
    source = build_source(given.data)
    assert (len(source.valid()), len(source.test())) == (2, 3)


def test_noisy_recordings_at_another_rate_are_taught_and_prepared(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(here / "calls", 4, rate=8000)
    main(["new", "calls", "--student", "new", "-o", "recipe.yaml", "--json"])
    values = json.loads(capsys.readouterr().out)["values"]
    assert values == yaml.safe_load((here / "recipe.yaml").read_text())
    assert values["teacher"] == {"checkpoint": DEFAULT_STUDENT}
    assert values["model"]["name"] == "dualpath"
    assert values["data"]["noisy"] == "calls-16k"
    assert draft(survey("calls"))["model"] == {"checkpoint": "unet-24"}, "the default student cannot teach itself"
    with pytest.raises(InputError, match=r"calls: dualpath-24 would teach itself; .*--teacher PRESET:FILE"):
        draft(survey("calls"), DEFAULT_STUDENT)
    main(["new", "calls", "-o", "again.yaml"])
    output = capsys.readouterr().out
    (line,) = [line.strip() for line in output.splitlines() if "data prepare" in line]
    assert line == "sordino data prepare calls calls-16k"
    main(line.split()[1:])
    assert build_source(read("recipe.yaml").data).labels == "none"
    (here / "g.onnx").touch()
    assert draft(survey("calls"), teacher="gtcrn:g.onnx")["teacher"] == {"preset": "gtcrn", "file": "g.onnx"}


def test_few_speakers_are_split_by_recordings_and_few_noises_keep_no_test(here: Path) -> None:
    for speaker in ("ann", "ben"):
        record(here / "mine" / "clean" / speaker, 4)
    record(here / "mine" / "noise", 2)
    found = draft(survey("mine"))
    assert "test_items" not in found["data"]
    assert len(build_source(read(found).data).valid()) == 32
    record(here / "mine" / "noise", 3)
    assert len(build_source(read(draft(survey("mine"))).data).test()) == 32
    (here / "mine" / "noise").rename(here / "mine" / "noisy")
    for path in (here / "mine" / "noisy").glob("*.wav"):
        path.unlink()
    for speaker in ("ann", "ben"):
        record(here / "mine" / "noisy" / speaker, 4)
    pairs = build_source(read(draft(survey("mine"))).data)
    assert {split: len(pairs.pairs(split)) for split in ("train", "valid", "test")} == {
        "train": 4,
        "valid": 2,
        "test": 2,
    }
    record(here / "one" / "clean", 3)
    record(here / "one" / "noise", 1)
    with pytest.raises(InputError, match="noise: holds one recording; expected two or more"):
        draft(survey("one"))


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        (("noise",), "holds no clean speech"),
        (("clean",), "holds no noisy recordings"),
        (("clean", "noise/empty"), "holds no noise"),
        ((), "there is no such folder"),
    ],
)
def test_too_little_is_named(here: Path, folders: tuple[str, ...], reason: str) -> None:
    for folder in folders:
        record(here / "mine" / folder, 0 if "empty" in folder else 3)
    with pytest.raises(InputError, match=reason):
        draft(survey("mine"))


@pytest.mark.parametrize("below", ["", "/clean"])
def test_copies_that_are_not_made_yet_are_named_with_the_command_that_makes_them(here: Path, below: str) -> None:
    with pytest.raises(InputError, match=r"there is no such folder; check the path$"):
        list_audio(f"my calls-16k{below}")
    record(here / "my calls", 1)
    with pytest.raises(InputError, match=r"no such folder; sordino data prepare 'my calls' 'my calls-16k' makes it$"):
        list_audio(f"my calls-16k{below}")
    record(here / "my calls-16k", 1)
    with pytest.raises(InputError, match=r"there is no such folder; check the path$"):
        list_audio("my calls-16k/noise")


@pytest.mark.parametrize("key", ["clean", "noise"])
def test_a_folder_of_training_data_that_is_not_there_is_named_with_its_key(here: Path, key: str) -> None:
    record(here / "mine" / "clean", 1)
    folders = {"clean": "mine/clean", "noise": "mine/clean"} | {key: "mine/absent"}
    with pytest.raises(InputError, match=f"no such folder; set data.{key}=FOLDER to where yours is; docs/data.md"):
        build_source(Component("mix", folders))
    record(here / "calls" / key, 1)
    with pytest.raises(InputError, match="sordino data prepare calls calls-16k makes it"):
        build_source(Component("mix", folders | {key: f"calls-16k/{key}"}))


def test_the_folder_here_is_named_by_its_place(here: Path) -> None:
    record(here / "clean", 12, rate=8000)
    record(here / "noise", 9, rate=8000)
    assert draft(survey("."))["data"]["clean"] == str(here.with_name(f"{here.name}-16k") / "clean")


def test_half_a_test_set_is_none(here: Path) -> None:
    for side in ("noisy", "clean"):
        record(here / "mine" / side, 12)
    record(here / "mine" / "test" / "noisy", 2)
    record(here / "mine" / "valid" / "noisy", 2)
    data = draft(survey("mine"))["data"]
    assert "test_fraction" in data
    assert not {"test_noisy", "valid_noisy"} & data.keys()


def test_the_folder_of_a_run_teaches(here: Path) -> None:
    record(here / "calls", 12)
    for name in ("recipe.yaml", "best.safetensors"):
        (here / "big").mkdir(exist_ok=True)
        (here / "big" / name).touch()
    assert draft(survey("calls"), teacher="big")["teacher"] == {"checkpoint": "big"}


def test_a_student_that_does_not_ship_and_a_corpus_with_recipes_are_named(here: Path) -> None:
    record(here / "calls", 2)
    with pytest.raises(InputError, match="'unet-25' does not ship; expected new, or one of dualpath-24"):
        draft(survey("calls"), "unet-25")
    record(here / "vb" / "noisy_testset_wav", 1)
    with pytest.raises(InputError, match="recipes for it ship: sordino train valentini/manner-b-teacher"):
        draft(survey("vb"))


def test_a_teacher_that_is_missing_is_named_with_the_command_that_trains_it(here: Path) -> None:
    def hint(teacher: str) -> str:
        values = {"data": {"name": "synthetic"}, "model": {"name": "unet", "width": 8}, "distill": {"output": {}}}
        with pytest.raises(InputError) as caught:
            build_trainer(read(values, [f"teacher.checkpoint={teacher}"]), here)
        return caught.value.hint

    shipped = "runs/valentini/manner-b-teacher/best.safetensors"
    assert hint(shipped) == "train it first: sordino train valentini/manner-b-teacher"
    (here / "words.yaml").write_text("- of another program\n")
    (here / "big.yaml").write_text("out: elsewhere\n")
    assert hint("elsewhere/best.safetensors") == "train it first: sordino train big.yaml"
    assert hint("nowhere/best.safetensors") == "train it first: sordino train RECIPE --out nowhere"
    assert hint("elsewhere") == "train it first: sordino train big.yaml"  # the folder of the run
    (here / "nowhere").mkdir()
    (here / "nowhere" / "recipe.yaml").touch()
    assert hint("nowhere/best.safetensors").endswith("sordino train nowhere/recipe.yaml --out nowhere --resume")


@pytest.mark.parametrize("options", [{"student": "manner-s-1.5gf-int8"}, {"teacher": "manner-s-1.5gf-int8"}])
def test_a_student_that_ships_without_a_checkpoint_is_refused(here: Path, options: dict[str, str]) -> None:
    record(here / "calls", 2)
    with pytest.raises(InputError, match=r"ships as ONNX alone; .*take manner-s-1\.5gf"):
        draft(survey("calls"), **options)


@pytest.mark.parametrize("names", [("a_noisy", "a_clean"), ("deep/noisy/a", "deep/clean/a")])
def test_pairs_that_lie_together_are_not_taken_for_noisy_recordings(here: Path, names: tuple[str, str]) -> None:
    for name in names:
        record(here / "calls" / Path(name).parent, 1)
        (here / "calls" / Path(name).parent / "s0_a.wav").rename(here / "calls" / f"{name}.wav")
    with pytest.raises(InputError, match=r"look like a pair; expected noisy/ and clean/"):
        draft(survey("calls"))
