"""Scoring: one row per file, failures counted, pool and serial alike."""

from __future__ import annotations

import csv
import json
import multiprocessing

import numpy as np
import pytest

import sordino
from helpers.corpora import RATE
from sordino.audio import sound_files
from sordino.errors import InputError
from sordino.evaluation import measuring
from sordino.evaluation.score import Scores, score
from sordino.inference.model import Model
from sordino.metrics import si_sdr_db
from sordino.report.scores import score_table
from sordino.types import Item


def recording(name: str, seconds: float = 1.5, seed: int = 0) -> Item:
    """A syllabic buzz in white noise, with zero padding at its end."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    buzz = sum(np.cos(2 * np.pi * 130 * k * time) / k for k in range(1, 30))
    clean = 0.1 * np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None) * buzz
    noisy = clean + 0.02 * random.standard_normal(len(time))
    padding = np.zeros(1000)
    clean, noisy = (np.concatenate([part, padding]).astype(np.float32) for part in (clean, noisy))
    return Item(noisy, clean, len(time), name, name.partition("_")[0])


ITEMS = [recording("a_1", seed=1), recording("a_2", 2.0, seed=2), recording("b_1", seed=3)]


def attenuate(noisy: np.ndarray) -> np.ndarray:
    return np.convolve(noisy, [0.25, 0.5, 0.25], mode="same")


def test_every_file_is_a_row_without_its_padding():
    lengths: list[int] = []
    scores = score(lambda noisy: (lengths.append(len(noisy)), noisy)[1], ITEMS, ("si_sdr_db", "composite"), workers=0)
    assert [(row["id"], row["speaker"], row["seconds"]) for row in scores.rows] == [
        ("a_1", "a", 1.5),
        ("a_2", "a", 2.0),
        ("b_1", "b", 1.5),
    ]
    assert lengths == [item.length for item in ITEMS]
    assert not scores.failures
    assert set(scores.means()) == {"si_sdr_db", "csig", "cbak", "covl", "llr", "wss", "segsnr_db"}
    assert scores.means()["csig"] == pytest.approx(np.mean([row["csig"] for row in scores.rows]))
    assert scores.values("llr") == {row["id"]: row["llr"] for row in scores.rows}
    assert scores.metadata["computed_by"]["composite"].endswith("PESQ-wb")


def test_the_pool_gives_what_one_process_gives(monkeypatch: pytest.MonkeyPatch):
    done: list[tuple[object, ...]] = []
    pooled = score(attenuate, ITEMS, workers=2, progress=lambda *at: done.append(at))
    serial = score(attenuate, ITEMS, workers=0)
    assert pooled == serial
    assert done == [("scoring", one, 3, {}) for one in (1, 2, 3)]
    monkeypatch.setattr(measuring, "HERE_S", 1e-9)  # the first one here, two in the pool
    assert score(attenuate, ITEMS) == serial


def test_few_recordings_need_no_pool(monkeypatch: pytest.MonkeyPatch):
    processes: list[int] = []

    def look(_task: str, _done: int, _total: int, _numbers: dict[str, float]) -> None:
        processes.append(len(multiprocessing.active_children()))

    before = len(multiprocessing.active_children())
    monkeypatch.setattr(measuring, "HERE_S", 600.0)
    assert len(score(None, ITEMS, ("si_sdr_db",), progress=look).rows) == 3
    assert max(processes) == before
    score(None, ITEMS, ("si_sdr_db",), workers=2, progress=look)
    assert max(processes) > before


def test_no_model_scores_the_noisy_input():
    assert score(None, ITEMS, ("pesq_wb",), workers=0).rows == score(lambda x: x, ITEMS, ("pesq_wb",), workers=0).rows


def test_failures_are_counted_and_never_zero():
    silent = ITEMS[0]._replace(clean=np.zeros_like(ITEMS[0].noisy), id="silent")
    short = recording("short", 0.1)
    scores = score(None, [ITEMS[1], silent, short], ("pesq_wb", "si_sdr_db"), workers=0)
    assert {(failure.id, failure.metric) for failure in scores.failures} == {
        ("silent", "pesq_wb"),
        ("silent", "si_sdr_db"),
        ("short", "pesq_wb"),
    }
    assert all(failure.reason for failure in scores.failures)
    assert scores.means()["pesq_wb"] == scores.rows[0]["pesq_wb"]
    assert "pesq_wb" not in scores.rows[1]
    assert scores.summary()["si_sdr_db"].n == 2
    assert score_table(scores).to_text().splitlines()[2].split()[-2:] == ["1", "2"]


def test_a_recording_that_cannot_be_read_is_a_failure_among_the_others(tmp_path):
    for name in ("a", "b"):
        for side in ("noisy", "clean"):
            sound_files.write(tmp_path / side / f"{name}.wav", getattr(recording(name, 0.5), side), RATE)
    folders = tmp_path / "noisy", tmp_path / "clean"
    (tmp_path / "noisy" / "b.wav").write_bytes(b"no sound")
    scores = sordino.evaluate(None, folders, metrics=("si_sdr_db", "snr_db"))
    assert [row["id"] for row in scores.rows] == ["a"]
    assert [failure.metric for failure in scores.failures] == ["si_sdr_db", "snr_db"]
    assert all(failure.id.endswith("b.wav") for failure in scores.failures)
    assert all(failure.reason.startswith("cannot be read as audio") for failure in scores.failures)
    assert score_table(scores).to_text().splitlines()[2].split()[-2:] == ["1", "1"]
    (tmp_path / "noisy" / "a.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match="cannot be read as audio"):
        sordino.evaluate(None, folders, metrics=("si_sdr_db",))


def test_scores_without_any_value_still_make_a_table():
    silent = ITEMS[0]._replace(clean=np.zeros_like(ITEMS[0].noisy))
    scores = score(None, [silent], ("stoi",), workers=0)
    assert scores.means() == {}
    assert score_table(scores).to_text().splitlines()[2].split()[2:] == ["–", "–", "–", "–", "0", "1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_mistakes_name_the_recording(workers):
    with pytest.raises(InputError, match="a_1: estimate: 23900 samples beside 24000"):
        score(lambda noisy: noisy[:-100], ITEMS[:1], ("snr_db",), workers=workers)
    assert score(lambda noisy: noisy[:-100], ITEMS[:1], ("snr_db",), workers=0, align="shorter").means()


def test_recordings_of_one_name_are_told_apart():
    """Mixtures are called by utterance, noise and ratio, which those of two speakers may share."""
    clean = ITEMS[0]._replace(noisy=ITEMS[0].clean)
    scores = score(None, [ITEMS[0], clean, ITEMS[1], clean], ("snr_db",), workers=0)
    names = [ITEMS[0].id, f"{ITEMS[0].id} (2)", ITEMS[1].id, f"{ITEMS[0].id} (3)"]
    assert [row["id"] for row in scores.rows] == names
    assert [one.id for one in scores.failures] == [names[1], names[3]], "nothing is left to measure a ratio of"


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(InputError, match="no clean reference"):
        score(None, [ITEMS[0]._replace(clean=None)], workers=0)
    with pytest.raises(InputError, match="no recordings"):
        score(None, [], workers=0)


def test_a_failing_model_is_not_hidden():
    def broken(noisy: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("inside the model")

    with pytest.raises(ZeroDivisionError, match="inside the model"):
        score(broken, ITEMS, ("snr_db",), workers=1)


def test_scores_survive_json_and_csv(tmp_path):
    short = recording("short", 0.1)
    scores = score(None, [*ITEMS, short], ("pesq_wb", "si_sdr_db"), workers=0)
    scores.to_json(tmp_path / "scores.json")
    assert Scores.from_json(tmp_path / "scores.json") == scores
    summary = json.loads((tmp_path / "scores.json").read_text())["summary"]
    assert summary["pesq_wb"]["n"] == 3
    scores.to_csv(tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["si_sdr_db"]) for row in rows] == list(scores.values("si_sdr_db").values())
    assert rows[-1]["pesq_wb"] == ""
    (tmp_path / "other.json").write_text("[]")
    for name in ("other.json", "missing.json", "scores.csv"):
        with pytest.raises(InputError, match=name):
            Scores.from_json(tmp_path / name)


@pytest.fixture
def folders(tmp_path):
    for item in ITEMS[:2]:
        for kind, audio in (("noisy", item.noisy), ("clean", item.clean)):
            (tmp_path / kind).mkdir(exist_ok=True)
            sound_files.write(tmp_path / kind / f"{item.id}.wav", audio[: item.length], RATE, subtype="FLOAT")
    return tmp_path / "noisy", tmp_path / "clean"


def test_the_verb_scores_two_folders(folders):
    scores = sordino.evaluate(attenuate, folders, metrics=("si_sdr_db",), workers=0)
    expected = score(attenuate, ITEMS[:2], ("si_sdr_db",), workers=0)
    assert scores.values("si_sdr_db") == pytest.approx(expected.values("si_sdr_db"), abs=1e-5)  # a model is float32
    assert [row["speaker"] for row in scores.rows] == ["a", "a"]
    assert scores.metadata["model"] == "attenuate"
    noisy = sordino.evaluate(None, ITEMS, metrics=("si_sdr_db",), workers=0)
    assert noisy.metadata["model"] == "noisy"
    assert noisy.rows == score(None, ITEMS, ("si_sdr_db",), workers=0).rows


class Tiny:
    """A source of two recordings."""

    name, sample_rate, synthetic, labels, segment_s = "tiny", RATE, True, "all", 1.0

    def train(self, seed: int) -> list[Item]:
        return []

    def valid(self) -> list[Item]:
        return ITEMS[2:]

    def test(self) -> list[Item]:
        return ITEMS[:2]


def test_the_verb_scores_a_split_of_a_source():
    scores = sordino.evaluate(None, Tiny(), metrics=("snr_db",), workers=0)
    assert [row["id"] for row in scores.rows] == ["a_1", "a_2"]
    assert scores.metadata["synthetic"] is True
    assert scores.metadata["data"] == "tiny"
    valid = sordino.evaluate(None, Tiny(), metrics=("snr_db",), split="valid", workers=0)
    assert [row["id"] for row in valid.rows] == ["b_1"]


def test_a_model_at_another_rate_hears_the_data_resampled(folders):
    lengths: list[int] = []

    def spy(noisy: np.ndarray) -> np.ndarray:
        lengths.append(len(noisy))
        return noisy

    scores = sordino.evaluate(spy, Tiny(), metrics=("si_sdr_db",), workers=0, model_rate=8000)
    assert lengths == [item.length // 2 for item in ITEMS[:2]]
    assert (scores.metadata["model_rate"], scores.metadata["sample_rate"]) == (8000, RATE)
    both_ways = [
        sordino.enhance(item.noisy[: item.length], RATE, Model("", 8000, lambda noisy: noisy)) for item in ITEMS[:2]
    ]
    expected = [si_sdr_db(item.clean[: item.length], wave) for item, wave in zip(ITEMS, both_ways, strict=False)]
    assert list(scores.values("si_sdr_db").values()) == pytest.approx(expected)
    assert sordino.evaluate(spy, folders, metrics=("si_sdr_db",), workers=0, model_rate=8000).rows[0][
        "si_sdr_db"
    ] == pytest.approx(expected[0], abs=1e-3)
    assert "model_rate" not in sordino.evaluate(spy, Tiny(), metrics=("snr_db",), workers=0).metadata
