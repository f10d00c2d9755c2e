"""Shards: what is read from them is what the files held, by number, once each; and webdataset reads them too."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import webdataset
import yaml

from helpers.corpora import write_pair
from sordino.cli.main import main
from sordino.conformance.sources import equal
from sordino.data import base, sources
from sordino.data.loader import loader
from sordino.data.tools.shard import shard
from sordino.errors import InputError
from sordino.evaluation.evaluate import evaluate
from sordino.types import Batch

RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Pairs of ten speakers, and three to test on."""
    root = tmp_path / "corpus"
    for number in range(30):
        home, name = (root, f"s{number % 10}_{number}.wav") if number < 27 else (root / "test", f"t_{number}.wav")
        write_pair(home, name, number, 0.3 + 0.02 * number)
    return root


def pairs(corpus: Path) -> sources.Pairs:
    folders = (f"{corpus}/{part}" for part in ("noisy", "clean", "test/noisy", "test/clean"))
    noisy, clean, test_noisy, test_clean = folders
    return sources.Pairs(
        noisy, clean, test_noisy=test_noisy, test_clean=test_clean, segment_s=0.25, stride_s=0.1, tempo=(0.9, 1.1)
    )


def shards(out: Path, **arguments: object) -> sources.Shards:
    return sources.create("shards", root=str(out), segment_s=0.25, stride_s=0.1, **arguments)  # pyright: ignore[reportReturnType]


def test_a_run_on_shards_is_given_what_a_run_on_the_files_is(corpus: Path, tmp_path: Path) -> None:
    files, out, seen = pairs(corpus), tmp_path / "out", []
    result = shard(files, out, 5, workers=2, progress=lambda *step: seen.append(step))
    train, valid = len(files.pairs("train")), len(files.pairs("valid"))
    assert train + valid == 27
    assert result.written == -(-train // 5) + -(-valid // 5) + 1
    assert seen == [("sharding", done, result.written, {}) for done in range(1, result.written + 1)]
    source = shards(out, tempo=(0.9, 1.1))
    assert isinstance(source, base.Source)
    assert (source.labels, source.synthetic) == ("all", False)
    assert len(source.train(3)) == len(files.train(3))
    assert all(equal(source.train(3)[2, index], files.train(3)[2, index]) for index in range(0, len(files.train(3)), 3))
    for here, there in ((source.valid(), files.valid()), (source.test(), files.test())):
        assert len(here) == len(there)
        assert all(map(equal, here, there))


def batches(source: sources.Shards, start: int = 0, workers: int = 0, rank: int = 0, ranks: int = 1) -> list[Batch]:
    return list(loader(source.train(1), 4, 1, 5, start, workers, rank, ranks))


def test_an_epoch_is_shared_without_loss_or_double_and_resumes_exactly(corpus: Path, tmp_path: Path) -> None:
    shard(pairs(corpus), tmp_path / "out", 5, workers=1)
    source = shards(tmp_path / "out")
    alone = batches(source)
    for first, second in zip(alone[3:], batches(source, start=3, workers=2), strict=True):
        assert first.ids == second.ids
        assert torch.equal(first.noisy, second.noisy)
    parts = [batches(source, workers=1, rank=rank, ranks=2) for rank in (0, 1)]
    shared = [batch for step in zip(*parts, strict=True) for batch in step]
    assert len(shared) == len(alone) // 2 * 2
    for first, second in zip(alone, shared, strict=False):
        assert torch.equal(first.noisy, second.noisy)
    waves = {row.numpy().tobytes() for batch in alone for row in batch.noisy}
    assert len(waves) == 4 * len(alone)
    ids = [id for batch in alone for id in batch.ids]
    assert sorted(ids) != ids


def test_webdataset_reads_them(corpus: Path, tmp_path: Path) -> None:
    files = pairs(corpus)
    shard(files, tmp_path / "out", 5, workers=1)
    paths = sorted(str(path) for path in (tmp_path / "out").glob("train-*.tar"))
    read = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert len(read) == len(files.pairs("train"))
    for sample, pair in zip(read, files.pairs("train"), strict=True):
        about = json.loads(sample["json"])
        assert (about["id"], about["speaker"], about["sample_rate"]) == (pair.id, pair.speaker, RATE)
        assert pair.clean is not None
        for side, path in (("noisy.flac", pair.noisy), ("clean.flac", pair.clean)):
            wave, rate = soundfile.read(io.BytesIO(sample[side]), dtype="int16")
            assert rate == RATE
            assert len(wave) == about["length"]
            np.testing.assert_array_equal(wave, soundfile.read(path, dtype="int16")[0])


def test_recordings_without_references(corpus: Path, tmp_path: Path) -> None:
    shard(sources.Pairs(f"{corpus}/noisy"), tmp_path / "out", 10, workers=1)
    source = shards(tmp_path / "out")
    assert source.labels == "none"
    assert source.train(0)[0, 0].clean is None
    with pytest.raises(InputError, match="tempo"):
        shards(tmp_path / "out", tempo=(0.9, 1.1)).train(0)
    with pytest.raises(InputError, match="no test set"):
        source.test()
    tested = shards(tmp_path / "out", test_noisy=f"{corpus}/test/noisy", test_clean=f"{corpus}/test/clean")
    assert len(tested.test()) == 3


def test_evaluation_reads_them(corpus: Path, tmp_path: Path) -> None:
    files = pairs(corpus)
    shard(files, tmp_path / "out", workers=1)
    scores = [evaluate(None, source, metrics=("si_sdr_db",), workers=0) for source in (shards(tmp_path / "out"), files)]
    assert scores[0].rows == scores[1].rows
    assert len(scores[0].rows) == 3


def test_a_folder_takes_the_shards_of_one_source(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shard(pairs(corpus), out, 10, workers=1)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert shard(pairs(corpus), out, 10, workers=1).written == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(InputError, match=r"no shard of this source|holds other recordings than the source"):
        shard(pairs(corpus), out, 7, workers=1)
    for side in ("noisy", "clean"):
        path = corpus / side / "s0_0.wav"
        path.rename(path.with_name("s0_zero.wav"))
    with pytest.raises(InputError, match="other recordings"):
        shard(pairs(corpus), out, 10, workers=1)
    with pytest.raises(InputError, match="sordino data render"):
        shard(sources.Synthetic(), tmp_path / "new")
    with pytest.raises(InputError, match="at least 1"):
        shard(pairs(corpus), tmp_path / "new", 0)
    with pytest.raises(InputError, match="no shard"):
        shard(pairs(corpus), corpus)
    assert not (tmp_path / "new").exists()


def test_a_recording_that_cannot_be_read_is_refused_or_left_out(corpus: Path, tmp_path: Path) -> None:
    files = pairs(corpus)
    broken = files.pairs("train")[3]
    broken.noisy.write_text("not a recording")
    with pytest.raises(InputError, match=broken.noisy.name):
        shard(pairs(corpus), tmp_path / "out", 10, workers=1)
    for _ in range(2):  # what was left out is reported again by a later run
        result = shard(pairs(corpus), tmp_path / "out", 10, workers=2, damaged="skip")
        assert [id for id, _ in result.failed] == [broken.id]
    train = shards(tmp_path / "out").train(0)
    assert {train[0, index].id for index in range(len(train))} == {
        pair.id for pair in files.pairs("train") if pair.id != broken.id
    }


def read_all(source: base.Source) -> None:
    train = source.train(0)
    for index in range(len(train)):
        _ = train[0, index]


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.unlink()
    if how == "gone":
        return
    path.write_bytes(content[:-1000] if how == "cut" else content)


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_damaged_shard_is_refused_or_skipped_with_a_warning(corpus: Path, tmp_path: Path, how: str) -> None:
    shard(pairs(corpus), tmp_path / "out", 5, workers=1)
    path = sorted((tmp_path / "out").glob("train-*.tar"))[1]
    lost = {pair.id for pair in pairs(corpus).pairs("train")[5:10]}
    spoil(path, how)
    with pytest.raises(InputError, match=path.name):
        read_all(shards(tmp_path / "out"))
    with pytest.warns(UserWarning, match=f"skipped: .*{path.name}"):
        train = shards(tmp_path / "out", damaged="skip").train(0)
    assert {train[0, index].id for index in range(len(train))} == {
        pair.id for pair in pairs(corpus).pairs("train") if pair.id not in lost
    }
    path.unlink(missing_ok=True)
    assert shard(pairs(corpus), tmp_path / "out", 5, workers=1).written == 1
    read_all(shards(tmp_path / "out"))


def test_an_index_that_is_none_is_reported(corpus: Path, tmp_path: Path) -> None:
    shard(pairs(corpus), tmp_path / "out", 50, workers=1)
    (index,) = (tmp_path / "out").glob("train-*.json")
    index.write_text("{}")
    with pytest.raises(InputError, match="is no index"):
        shards(tmp_path / "out").train(0)
    index.unlink()
    with pytest.raises(InputError, match="has no index"):
        shards(tmp_path / "out").train(0)
    assert shard(pairs(corpus), tmp_path / "out", 50, workers=1).written == 1
    read_all(shards(tmp_path / "out"))


def test_missing_folders_and_other_rates_are_reported(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        shards(tmp_path / "absent").train(0)
    with pytest.raises(InputError, match="no shards of the train set"):
        shards(corpus).train(0)
    shard(pairs(corpus), tmp_path / "out", 50, workers=1)
    with pytest.raises(InputError, match="16000 Hz; expected 8000 Hz"):
        shards(tmp_path / "out", sample_rate=8000).train(0)


def test_the_command(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = {"name": "pairs", "noisy": "absent", "clean": f"{corpus}/clean"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"data": section}))
    words = ["data", "shard", f"{tmp_path}/mine.yaml", f"{tmp_path}/out", "--workers", "1", "--json"]
    main([*words, f"data.noisy={corpus}/noisy", "--per-shard", "9"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    assert (
        answer["written"] == len(list((tmp_path / "out").glob("*.tar"))) == len(list((tmp_path / "out").glob("*.json")))
    )
