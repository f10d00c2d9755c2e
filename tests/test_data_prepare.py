"""Preparing corpora: files are resampled once, bad ones reported, a stopped run goes on; and what manifests hold."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from helpers.noise import hiss
from sordino.audio.folders import list_audio
from sordino.audio.sound_files import info, read, resample, write
from sordino.data import manifest
from sordino.data.manifest import Entry
from sordino.data.tools.prepare import prepare
from sordino.errors import InputError


def test_a_manifest_survives_the_round_trip_and_a_move(tmp_path):
    home = tmp_path / "here"
    entries = [
        Entry("a,1", str(home / "noisy/a,1.wav"), str(home / "clean/a,1.wav"), "p1", 1.25, "train"),
        Entry("ü", "", str(home / "clean/ü.wav"), "p2", 0.5, "speech"),
    ]
    manifest.write(home / "corpus.csv", entries)
    assert manifest.read(home / "corpus.csv") == entries
    home.rename(tmp_path / "there")
    assert manifest.read(tmp_path / "there" / "corpus.csv")[1].clean == str(tmp_path / "there/clean/ü.wav")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a manifest"):
        manifest.read(tmp_path / "other.csv")
    (tmp_path / "bad.csv").write_text("id,noisy,clean,speaker,seconds,split\na,b,c,d,long,train\n")
    with pytest.raises(InputError, match="line 2"):
        manifest.read(tmp_path / "bad.csv")


@pytest.fixture
def raw(tmp_path) -> Path:
    """Files as they are downloaded: 48 kHz, and 8 kHz stereo."""
    root = tmp_path / "raw"
    for number in range(3):
        write(root / "deep" / f"{number}.wav", hiss(0.3, seed=number, rate=48000), 48000)
    write(
        root / "stereo.wav",
        np.stack([hiss(0.3, seed=8, rate=8000), hiss(0.3, seed=9, rate=8000)]),
        8000,
    )
    return root


@pytest.mark.parametrize("workers", [1, 2])
def test_prepare_resamples_once_and_keeps_folders(raw, tmp_path, workers):
    out, seen = tmp_path / "out", []
    result = prepare(raw, out, workers=workers, progress=lambda *step: seen.append(step))
    assert (result.written, result.present, result.failed) == (4, 0, [])
    assert seen == [("preparing", done, 4, {}) for done in range(1, 5)]
    assert [path.relative_to(out).as_posix() for path in list_audio(out)] == [
        "deep/0.flac", "deep/1.flac", "deep/2.flac", "stereo.flac",
    ]  # fmt: skip
    assert info(out / "stereo.flac").channels == 2
    there, rate = read(out / "deep" / "1.flac")
    assert rate == 16000
    np.testing.assert_allclose(there, resample(read(raw / "deep" / "1.wav")[0], 48000, 16000), atol=1 / 32768)
    before = {path: path.stat().st_mtime_ns for path in list_audio(out)}
    again = prepare(raw, out, workers=workers)
    assert (again.written, again.present) == (0, 4)
    assert before == {path: path.stat().st_mtime_ns for path in list_audio(out)}


def test_a_stopped_run_goes_on_where_it_was(raw, tmp_path):
    def stop(_task: str, done: int, *_: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out", workers=1, progress=stop)
    assert len(list((tmp_path / "out").rglob("*.flac"))) == 2
    result = prepare(raw, tmp_path / "out", workers=1)
    assert (result.written, result.present) == (2, 2)


def test_bad_files_are_reported_and_the_rest_goes_on(raw, tmp_path):
    (raw / "deep" / "1.wav").write_text("text")
    (raw / "empty.wav").touch()
    result = prepare(raw, tmp_path / "out", workers=2)
    assert result.written == 3
    assert [(Path(path).name, "cannot be read" in why or "0 bytes" in why) for path, why in result.failed] == [
        ("1.wav", True),
        ("empty.wav", True),
    ]
    with pytest.raises(InputError, match=r"1\.wav|empty\.wav"):  # whichever process comes upon its file first
        prepare(raw, tmp_path / "other", workers=2, damaged="refuse")


def test_a_file_that_passes_full_scale_is_turned_down_and_reported(raw, tmp_path):
    square = np.sign(hiss(0.3, rate=48000))
    write(raw / "loud.wav", square, 48000)
    result = prepare(raw, tmp_path / "out", workers=1)
    assert [(Path(path).name, gain_db < 0) for path, gain_db in result.turned_down] == [("loud.wav", True)]


def test_the_two_files_of_a_pair_are_turned_down_together(tmp_path):
    root, out = tmp_path / "corpus", tmp_path / "out"
    for name in ("loud", "soft"):
        clean = hiss(0.3, seed=3, rate=48000)
        noise = (5 * np.sign(hiss(0.3, seed=4, rate=48000)) if name == "loud" else 0) * 0.2
        write(root / "clean" / f"{name}.wav", clean, 48000, "FLOAT")
        write(root / "noisy" / f"{name}.wav", clean + noise, 48000, "FLOAT")
    result = prepare(root, out, workers=1)
    downs = {Path(path).parent.name: gain_db for path, gain_db in result.turned_down}
    assert downs.keys() == {"noisy", "clean"}
    assert downs["noisy"] == downs["clean"] < -0.5
    (kept, _), (given, _) = (read(folder, 16000) for folder in (out / "clean/loud.flac", root / "clean/loud.wav"))
    assert kept == pytest.approx(given * 10 ** (downs["clean"] / 20), abs=1e-4)
    before = {path: path.read_bytes() for path in list_audio(out)}
    (out / "noisy" / "loud.flac").unlink()  # as if the run had been stopped between the two
    again = prepare(root, out, workers=1)
    assert (again.written, again.present) == (2, 2)
    assert {path: path.read_bytes() for path in list_audio(out)} == before


def test_a_file_that_is_cut_short_is_reported_and_not_prepared(raw, tmp_path):
    whole = (raw / "deep" / "0.wav").read_bytes()
    (raw / "deep" / "0.wav").write_bytes(whole[: len(whole) // 2])
    result = prepare(raw, tmp_path / "out", workers=1)
    assert [(Path(path).name, "was it cut short?" in reason) for path, reason in result.failed] == [("0.wav", True)]
    assert not (tmp_path / "out" / "deep" / "0.flac").exists()


def test_prepare_refuses_what_would_end_badly(raw, tmp_path):
    with pytest.raises(InputError, match="outside the corpus"):
        prepare(raw, raw / "out")
    prepare(raw, tmp_path / "out", sample_rate=8000, workers=1)
    with pytest.raises(InputError, match="at 8000 Hz"):
        prepare(raw, tmp_path / "out", workers=1)
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "absent", tmp_path / "other")


def test_recordings_that_differ_in_their_format_alone_both_stay(raw, tmp_path):
    write(raw / "stereo.flac", hiss(0.3), 16000)
    assert prepare(raw, tmp_path / "out", workers=1).failed == []
    assert {"stereo.flac", "stereo.wav.flac"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_copy_under_the_name_that_it_had_before_a_second_format_came_is_named(raw, tmp_path):
    out = tmp_path / "out"
    prepare(raw, out, workers=1)
    write(raw / "stereo.ogg", hiss(0.3), 16000)
    with pytest.raises(
        InputError, match=r"stereo\.flac: was made when stereo was there in one format alone; remove it"
    ):
        prepare(raw, out, workers=1)
    (out / "stereo.flac").unlink()
    assert prepare(raw, out, workers=1).written == 2
    assert prepare(raw, out, workers=1).present == 5


def test_a_full_disk_stops_prepare_with_one_line_and_no_half_file(raw, tmp_path):
    write(raw / "long.wav", hiss(20.0, seed=3, rate=48000), 48000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match=r"long\.flac: cannot be written"):
            prepare(raw, tmp_path / "out", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(left) == ["0.flac", "1.flac", "2.flac"]


def test_an_error_in_a_worker_process_arrives_whole(raw, tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        prepare(raw, tmp_path / "out", workers=2)


def test_a_folder_that_is_linked_into_the_test_set_is_prepared_under_both_names(raw, tmp_path):
    root = tmp_path / "linked"
    for folder in ("noisy", "clean", "test/noisy"):
        write(root / folder / "a.wav", hiss(0.3, seed=1), 16000)
    (root / "test" / "clean").symlink_to(root / "clean")
    result = prepare(root, tmp_path / "out", workers=1)
    assert (result.written, result.failed) == (4, [])
    assert (tmp_path / "out" / "test" / "clean" / "a.flac").is_file()


def test_what_flac_cannot_hold_is_reported_and_the_rest_goes_on(raw, tmp_path):
    write(raw / "array.wav", np.stack([hiss(0.1, seed=seed) for seed in range(16)]), 16000)
    write(raw / "click.wav", np.full(1, 0.5, np.float32), 48000)
    result = prepare(raw, tmp_path / "out", workers=1)
    assert result.written == 4
    assert [(Path(path).name, reason) for path, reason in result.failed] == [
        ("array.wav", "has 16 channels; expected up to 8, which FLAC holds"),
        ("click.wav", "is too short for a sample at 16000 Hz"),
    ]
    with pytest.raises(InputError, match="16 channels"):
        prepare(raw, tmp_path / "out", workers=1, damaged="refuse")
