"""Checking corpora on disk: layouts are recognised, every fault is found once, and a fix is a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import write_pair
from helpers.noise import hiss
from sordino.audio.sound_files import read, write
from sordino.data import manifest, sources
from sordino.data.tools.check import check
from sordino.data.tools.inspection import clipped_share
from sordino.data.tools.layouts import detect
from sordino.data.tools.published import measure_noisy
from sordino.data.voices import Voice, speak
from sordino.errors import InputError


@pytest.fixture
def corpus(tmp_path) -> Path:
    root = tmp_path / "corpus"
    for number in range(8):
        write_pair(root, f"s{number}_a.wav", number)
    write_pair(root / "test", "t0_a.wav", 100)
    return root


def problems_of(report: dict) -> set[tuple[str, str]]:
    return {(problem["kind"], Path(problem["path"]).name) for problem in report["problems"]}


def test_a_sane_corpus_is_ok(corpus):
    seen = []
    report = check(corpus, progress=lambda task, done, total, numbers: seen.append((task, done, total)))
    assert report["ok"]
    assert report["problems"] == []
    assert report["layout"] == "pairs"
    assert report["files"] == 18
    assert report["seconds"] == pytest.approx(9.0)
    assert report["parts"] == [
        {"split": "train", "entries": 8, "seconds": pytest.approx(4.0)},
        {"split": "test", "entries": 1, "seconds": pytest.approx(0.5)},
    ]
    compared = [("comparing pairs", done, 9) for done in range(1, 10)]
    assert seen == [("checking", done, 18) for done in range(1, 19)] + compared
    json.dumps(report, allow_nan=False)


def test_every_fault_is_found_and_only_where_it_is(corpus, tmp_path):
    (corpus / "noisy" / "s0_a.wav").write_text("not a recording")
    (corpus / "clean" / "s1_a.wav").unlink()
    write(corpus / "clean" / "s2_a.wav", hiss(0.4, seed=2), 16000)
    write(corpus / "noisy" / "s3_a.wav", hiss(0.5, seed=3, rate=8000), 8000)
    write(corpus / "clean" / "s4_a.wav", np.zeros(8000, dtype=np.float32), 16000)
    write(corpus / "noisy" / "s5_a.wav", np.clip(hiss(0.5, seed=5, level=0.6), -0.5, 0.5), 16000)
    write(corpus / "noisy" / "s6_b.flac", read(corpus / "noisy" / "s6_a.wav")[0], 16000)
    write(corpus / "clean" / "s6_b.flac", hiss(0.5, seed=66), 16000)
    write_pair(corpus / "test", "s7_b.wav", 77)
    report = check(corpus, fix=tmp_path / "fixed.csv")
    assert problems_of(report) == {
        ("unreadable", "s0_a.wav"),
        ("missing partner", "s1_a.wav"),
        ("length mismatch", "s2_a.wav"),
        ("wrong rate", "s3_a.wav"),
        ("silence", "s4_a.wav"),
        ("clipping", "s5_a.wav"),
        ("duplicate", "s6_b.flac"),
        ("other recording", "s6_b.flac"),
        ("leaking speaker", "s7_a.wav"),
    }
    assert set(report["counts"].values()) == {1}
    assert not report["ok"]
    kept = {entry.id for entry in manifest.read(tmp_path / "fixed.csv")}
    assert kept == {"s3_a", "s6_a", "t0_a", "s7_b"}


def test_a_noisy_file_that_is_its_clean_partner_is_a_duplicate(corpus):
    write(corpus / "noisy" / "s1_a.wav", read(corpus / "clean" / "s1_a.wav")[0], 16000)
    report = check(corpus)
    assert problems_of(report) == {("duplicate", "s1_a.wav")}
    assert "its clean partner" in report["problems"][0]["detail"]


def test_rendered_mixtures_of_one_part_are_no_faults(tmp_path):
    """Noise alone has a silent reference, and speech alone is its own; their names say that there is no ratio."""
    for number in range(4):
        write_pair(tmp_path, f"s{number}_a.wav", number)
    alone = hiss(0.5, seed=10), hiss(0.5, seed=11)
    for index, (noisy, clean) in enumerate(((alone[0], np.zeros_like(alone[0])), (alone[1], alone[1]))):
        write(tmp_path / "noisy" / f"x_snrnone_tl-20_fileid_{index}.wav", noisy, 16000)
        write(tmp_path / "clean" / f"clean_fileid_{index}.wav", clean, 16000)
    assert check(tmp_path)["problems"] == []


def test_two_files_of_one_name_are_both_seen(corpus):
    write(corpus / "noisy" / "s1_a.flac", hiss(0.5, seed=300), 16000)
    assert ("missing partner", "s1_a.wav") in problems_of(check(corpus))


def test_nan_and_empty_files_are_unreadable(corpus):
    soundfile.write(corpus / "noisy" / "s0_a.wav", np.full(8000, np.nan, dtype=np.float32), 16000, "FLOAT")
    (corpus / "noisy" / "s1_a.wav").write_bytes(b"")
    soundfile.write(corpus / "noisy" / "s2_a.wav", np.zeros(0, dtype=np.float32), 16000)
    report = check(corpus)
    assert report["counts"] == {"unreadable": 3}
    details = " ".join(problem["detail"] for problem in report["problems"])
    assert all(words in details for words in ("NaN", "0 bytes", "0 frames"))


@pytest.mark.parametrize("empty", [("clean", "noise"), ("noise",)])
def test_a_folder_without_recordings_is_reported(tmp_path, empty):
    for name in ("clean", "noise"):
        (tmp_path / name).mkdir()
        if name not in empty:
            write(tmp_path / name / "s1_a.wav", hiss(0.5, seed=1), 16000)
    with pytest.raises(InputError, match=f"{empty[0]}: holds no recordings"):
        check(tmp_path)


def test_training_reads_the_fixed_manifest(corpus, tmp_path):
    (corpus / "clean" / "s1_a.wav").unlink()
    folders = str(corpus / "noisy"), str(corpus / "clean")
    with pytest.raises(InputError, match="no partner"):
        sources.Pairs(*folders, segment_s=0.5).train(0)
    check(corpus, fix=tmp_path / "fixed.csv")
    source = sources.Pairs(*folders, segment_s=0.5, manifest=str(tmp_path / "fixed.csv"))
    train = source.train(0)
    drawn = {train[0, index].id for index in range(len(train))} | {item.id for item in source.valid()}
    assert drawn == {f"s{number}_a" for number in range(8) if number != 1}


def test_flat_tops_are_clipping_and_sines_are_not():
    time = np.arange(16000) / 16000
    for hertz in (50, 440, 4000):
        sine = np.round(32767 * 0.9 * np.sin(2 * np.pi * hertz * time)) / 32768
        assert clipped_share(sine) < 1e-3
    clipped = np.clip(2 * np.sin(2 * np.pi * 50 * time), -1, 1)
    assert clipped_share(clipped) == pytest.approx(2 / 3, abs=0.02)
    assert clipped_share(0.5 * clipped) == clipped_share(clipped)
    assert clipped_share(np.zeros(100)) == clipped_share(np.ones(2)) == 0


def test_measured_figures_are_held_against_the_published(tmp_path):
    class Draw:
        """A measure whose figures are known."""

        def __init__(self, mean: float) -> None:
            self.values = iter(mean + 0.1 * np.tile([-1.0, 1.0], 10))

        def __call__(self, clean: np.ndarray, noisy: np.ndarray, sample_rate: int) -> dict[str, float]:
            value = float(next(self.values))
            return {"pesq_wb": value} | ({"stoi": 0.9} if value > 2 else {})

    def run(mean: float) -> dict:
        return measure_noisy(
            [(tmp_path / "a.wav", tmp_path / "a.wav")] * 20, Draw(mean), 16000, {"pesq_wb": (1.97, 1.97)}
        )

    write(tmp_path / "a.wav", hiss(0.1), 16000)
    near, far = run(2.0), run(2.2)
    # Three standard errors of these draws are 3 x 0.1026 / sqrt(20) = 0.069.
    assert near["off"] == []
    assert near["means"]["pesq_wb"] == pytest.approx(2.0)
    assert near["missing"] == {"stoi": 10}
    assert len(far["off"]) == 1
    assert "1.97" in far["off"][0]


def test_a_reference_that_is_late_or_of_another_recording_is_detected(tmp_path):
    for name, shift in (("a_0.wav", 16), ("b_0.wav", -400), ("c_0.wav", 2), ("d_0.wav", 0)):
        clean = speech(seed=ord(name[0]))
        write(tmp_path / "noisy" / name, clean + hiss(2.0, seed=ord(name[0])), 16000)
        write(tmp_path / "clean" / name, np.roll(clean if name != "d_0.wav" else speech(seed=1), shift), 16000)
    report = check(tmp_path, fix=tmp_path / "fixed.csv")
    details = {Path(one["path"]).name: (one["kind"], one["detail"].partition(".wav ")[2]) for one in report["problems"]}
    assert details == {
        "a_0.wav": ("late reference", "is 1.00 ms (16 samples) too late for it"),
        "b_0.wav": ("late reference", "is 25.00 ms (400 samples) too early for it"),
        "d_0.wav": ("other recording", "is of another recording"),
    }
    assert not report["ok"]
    assert [entry.id for entry in manifest.read(tmp_path / "fixed.csv")] == ["c_0"]


def speech(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return speak(generator, Voice.draw(generator), 2.0, 16000)


def test_a_valentini_test_set_that_is_off_is_not_ok(tmp_path):
    for number in range(6):
        name = f"p232_00{number}.wav"
        clean = hiss(0.3, seed=number)
        write(tmp_path / "clean_testset_wav" / name, clean, 16000)
        write(tmp_path / "noisy_testset_wav" / name, clean + hiss(0.3, seed=number + 50), 16000)
    calls = []

    def measure(clean: np.ndarray, noisy: np.ndarray, sample_rate: int) -> dict[str, float]:
        calls.append((clean.shape, noisy.shape, sample_rate))
        return {"pesq_wb": 1.5 + 0.01 * len(calls), "stoi": 0.92}

    report = check(tmp_path, measure=measure, count=4)
    assert calls == [((4800,), (4800,), 16000)] * 4
    assert report["problems"] == []
    assert not report["ok"]
    assert [sentence.split()[0] for sentence in report["measured"]["off"]] == ["pesq_wb"]


def test_layouts_are_recognised_by_their_folders(tmp_path, corpus):
    def made(name: str, *folders: str) -> Path:
        for folder in folders:
            write(tmp_path / name / folder / "a.wav", hiss(0.1), 16000)
        return tmp_path / name

    assert detect(made("v", "noisy_testset_wav", "clean_testset_wav")).kind == "valentini"
    assert [part.split for part in detect(made("v", "noisy_trainset_56spk_wav")).parts] == ["train", "test"]
    assert detect(made("d", "datasets/clean", "datasets/noise")).kind == "dns"
    mixed = detect(made("m", "clean", "noise", "test/noisy", "test/clean"))
    assert (mixed.kind, [part.split for part in mixed.parts]) == ("mix", ["speech", "noise", "test"])
    assert detect(corpus).kind == "pairs"
    assert detect(made("n", "walk", "talk")).kind == "noisy"
    (tmp_path / "none").mkdir()
    for folder in ("none", "absent"):
        with pytest.raises(InputError):
            detect(tmp_path / folder)
