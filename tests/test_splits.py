"""What is trained on is never what is tested on, and what is read is whole."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from helpers.corpora import write_pair, write_pairs
from helpers.noise import hiss, white
from sordino.audio.folders import list_audio
from sordino.audio.sound_files import read, read_segment, write
from sordino.cli.main import main
from sordino.data import manifest, sources
from sordino.data.recordings import Recordings
from sordino.data.tools.check import check
from sordino.errors import InputError

RATE = 16000


def test_a_test_set_inside_the_training_folder_is_not_trained_on(tmp_path: Path) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=6, each=1)
    for folder in (noisy, clean):
        (Path(folder) / "test").mkdir()
        (Path(folder) / "s5_0.wav").rename(Path(folder) / "test" / "s5_0.wav")
    tests = {"test_noisy": f"{noisy}/test", "test_clean": f"{clean}/test"}
    source = sources.Pairs(noisy, clean, **tests)
    used = {pair.noisy.stem for split in ("train", "valid") for pair in source.pairs(split)}
    assert used == {f"s{speaker}_0" for speaker in range(5)}
    mix = sources.Mix(clean, noisy, **tests)
    assert all("test" not in path.parts for part in mix.files for path, _ in part)


def test_fractions_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    noisy, clean = write_pairs(tmp_path, speakers=4, each=1)
    with pytest.raises(InputError, match=r"0\.5 beside valid_fraction 0\.5; expected less than all"):
        sources.Pairs(noisy, clean, valid_fraction=0.5, test_fraction=0.5)
    names = [f"n{number}" for number in range(40)]
    odd = [name for name in names if zlib.crc32(name.encode()) % 2]
    few = [odd[0], *[name for name in names if name not in odd][:3]]  # validation takes three, the test the other
    for folder in (Path(noisy), Path(clean)):
        for path, name in zip(sorted(folder.glob("*.wav")), few, strict=True):
            path.rename(folder / f"{name}_0.wav")
    with pytest.raises(InputError, match="leaves nothing to train on"):
        sources.Pairs(noisy, clean, valid_fraction=0.5, test_fraction=0.33).train(0)
    one = sorted(Path(noisy).glob("*.wav"))[0]
    for path in [*Path(noisy).glob("*.wav"), *Path(clean).glob("*.wav")]:
        if path.name != one.name:
            path.unlink()
    with pytest.raises(InputError, match=r"too few recordings \(1\); expected one more, as validation takes some"):
        sources.Pairs(noisy, clean).train(0)
    with pytest.raises(InputError, match="one more, as validation and the test take some"):
        sources.Pairs(noisy, clean, test_fraction=0.2).train(0)
    with pytest.raises(InputError, match="valid_noisy and valid_clean, or neither"):
        sources.Pairs(noisy, clean, valid_noisy=noisy)


def test_of_two_copies_that_in_the_training_set_is_the_fault(tmp_path: Path) -> None:
    write_pairs(tmp_path, speakers=4, each=1)
    write_pairs(tmp_path / "test", speakers=1, each=1)
    for side in ("noisy", "clean"):
        (tmp_path / "test" / side / "s0_0.wav").rename(tmp_path / "test" / side / "z_0.wav")
    report = check(tmp_path, fix=tmp_path / "fixed.csv")
    (found,) = [one for one in report["problems"] if one["kind"] == "duplicate"]
    assert found["path"] == str(tmp_path / "noisy" / "s0_0.wav")
    kept = {entry.id for entry in manifest.read(tmp_path / "fixed.csv")}
    assert kept == {"s1_0", "s2_0", "s3_0", "z_0"}


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_segment_of_an_mp3_is_that_part_of_the_whole(tmp_path: Path, rate: int) -> None:
    time = np.arange(6 * rate) / rate
    sound = 0.4 * np.sin(2 * np.pi * 300 * time * (1 + 0.1 * time)) + white(len(time), level=0.1)
    soundfile.write(tmp_path / "a.mp3", sound, rate)
    whole, _ = read(tmp_path / "a.mp3")
    for start in range(0, 5 * rate, 7777):
        part = read_segment(tmp_path / "a.mp3", start, 2000)
        np.testing.assert_allclose(part, whole[0, start : start + 2000], atol=1e-6)


def test_an_mp3_that_ends_early_ends_in_silence_and_any_other_file_is_refused(tmp_path: Path) -> None:
    for suffix in (".mp3", ".ogg"):
        path = tmp_path / f"a{suffix}"
        soundfile.write(path, white(96000, level=0.1), RATE)
        if suffix == ".mp3":
            path.write_bytes(path.read_bytes()[: -path.stat().st_size // 20])
    for cache in (False, True):
        audio = Recordings([tmp_path / "a.mp3"], RATE, cache).read(0, 80000, 16000)
        assert len(audio) == 16000
        assert audio[:8000].any()
        assert not audio[-500:].any()


def test_hidden_folders_are_not_listed(tmp_path: Path) -> None:
    for folder in (".trash", "one"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", np.zeros(100), RATE)
    assert list_audio(tmp_path) == [tmp_path / "one" / "a.wav"]


def test_a_check_of_a_recipe_reports_over_whom_its_validation_and_test_are_spread(tmp_path, capsys):
    for number in range(12):
        write(tmp_path / "clean" / f"s{number}" / "a.wav", hiss(0.5, seed=number), 16000)
    write(tmp_path / "clean" / "s0" / "b.wav", hiss(0.5, seed=40), 16000)
    for number in range(9):
        write(tmp_path / "noise" / f"n{number}.wav", hiss(0.5, seed=50 + number), 16000)
    recipe = tmp_path / "mine.yaml"
    data = {"name": "mix", "clean": str(tmp_path / "clean"), "noise": str(tmp_path / "noise"), "valid_items": 6}
    recipe.write_text(yaml.safe_dump({"data": data}))
    main(["data", "check", str(recipe), "data.test_items=4", "--json"])
    report = json.loads(capsys.readouterr().out)
    source = sources.create(**data, test_items=4)
    train, valid, test = report["parts"]
    assert [part["split"] for part in report["parts"]] == ["train", "valid", "test"]
    assert train["items"] == len(source.train(0))
    assert valid["speakers"] == dict(Counter(item.speaker for item in source.valid()))
    assert sum(valid["noises"].values()) == 6
    assert valid["noises"].keys() <= {f"n{number}" for number in range(9)}
    assert test["items"] == 4
    assert [folder["files"] for folder in report["folders"]] == [13, 9]
    assert report["ok"]
    assert report["warnings"] == []

    # One noise for all, and no test.
    exclude = ", ".join(f"n{number}.wav" for number in range(2, 9))
    main(["data", "check", str(recipe), f"data.exclude=[{exclude}]"])
    output = capsys.readouterr().out
    assert "warning: there is no test set: give test_noisy" in output
    assert re.search(r"warning: valid: all 6 items have the same noise recording, n[01]", output)

    # A speaker for every file, as far as the names tell.
    (tmp_path / "clean" / "s0" / "b.wav").unlink()
    main(["data", "check", str(recipe)])
    assert "clean: the names tell of as many speakers as files, 12; if one voice" in capsys.readouterr().out

    # A file that breaks behind its header is a problem; the others are still read.
    (tmp_path / "test" / "noisy").mkdir(parents=True)
    for number in range(2):
        write_pair(tmp_path / "test", f"t{number}.flac", number, seconds=2.0)
    broken = tmp_path / "test" / "noisy" / "t0.flac"
    broken.write_bytes(broken.read_bytes()[:3000])
    words = [f"data.test_{side}={tmp_path}/test/{side}" for side in ("noisy", "clean")]
    with pytest.raises(SystemExit) as left:
        main(["data", "check", str(recipe), *words])
    assert left.value.code == 1
    assert re.search(r"test: .*t0\.flac", capsys.readouterr().out)
