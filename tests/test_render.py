"""Rendering: the files are what training would have been given, by the challenge's names, once and in any order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.noise import hiss
from sordino.audio.folders import list_audio
from sordino.audio.mix import rms_db
from sordino.audio.sound_files import info, read_mono, write
from sordino.cli.main import main
from sordino.data import sources
from sordino.data.base import Source
from sordino.data.loader import loader
from sordino.data.recordings import pair_files
from sordino.data.tools.check import check
from sordino.data.tools.render import render
from sordino.data.tools.shard import shard
from sordino.errors import InputError

RATE = 16000


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Speech of six readers and four noises, in the challenge's layout."""
    for reader in range(6):
        name = f"book_0{reader}_reader_{reader:05d}_0_seg_1.wav"
        write(tmp_path / "dns" / "datasets" / "clean" / name, hiss(1.5, seed=reader), RATE)
    for number in range(4):
        write(tmp_path / "dns" / "datasets" / "noise" / f"door{number}.wav", hiss(0.7, seed=70 + number), RATE)
    return tmp_path / "dns"


def dns(corpus: Path) -> sources.Dns:
    """As the challenge's own synthesiser mixes."""
    ranges = {"snr_db": (0, 20), "level_db": (-35, -15), "augment": None}
    return sources.Dns(str(corpus), hours=5 / 3600, segment_s=0.5, valid_items=3, **ranges)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_hold_what_a_run_is_given_in_its_order(corpus: Path, tmp_path: Path) -> None:
    source, out, seen = dns(corpus), tmp_path / "out", []
    seconds = 7.0  # an epoch has ten items, so the last four come from the second one, mixed anew
    result = render(source, out, seconds / 3600, 3, workers=1, progress=lambda *step: seen.append(step))
    assert (result.written, result.present, result.failed) == (14 + 3, 0, [])
    assert seen == [("rendering", done, 17, {}) for done in range(1, 18)]
    given = [batch for epoch in (0, 1) for batch in loader(source.train(3), 1, 3, epoch)][:14]
    pairs = {id: (noisy, clean) for id, noisy, clean in pair_files(out / "noisy", out / "clean")}
    assert pairs.keys() == {f"fileid_{index}" for index in range(14)}
    for index, batch in enumerate(given):
        noisy, clean = pairs[f"fileid_{index}"]
        assert batch.clean is not None
        for path, wave in ((noisy, batch.noisy), (clean, batch.clean)):
            np.testing.assert_allclose(read_mono(path, RATE), wave[0].numpy(), atol=2 / 32768)
        assert (info(noisy).subtype, info(noisy).sample_rate) == ("PCM_16", RATE)
    assert len({(path.stat().st_size, path.read_bytes()) for path in list_audio(out / "noisy")}) == 14


def test_names_carry_ratio_level_and_file_id_as_the_challenges_own(corpus: Path, tmp_path: Path) -> None:
    render(dns(corpus), tmp_path / "out", 5 / 3600, workers=1)
    for id, noisy, clean in pair_files(tmp_path / "out" / "noisy", tmp_path / "out" / "clean"):
        form = r"book_0\d_reader_(\d{5})_0_seg_1_door\d_snr(-?\d+)_tl(-\d+)_(fileid_\d+)"
        match = re.fullmatch(form, noisy.stem)
        assert match is not None
        assert match[4] == id
        assert noisy.parent.name == clean.parent.name == f"reader_{match[1]}"
        assert clean.stem == f"clean_{id}"
        speech, mixture = read_mono(clean, RATE), read_mono(noisy, RATE)
        assert rms_db(speech) - rms_db(mixture - speech) == pytest.approx(float(match[2]), abs=0.6)
        assert rms_db(mixture) == pytest.approx(float(match[3]), abs=0.6)


def test_pairs_reads_it_and_its_validation_set(corpus: Path, tmp_path: Path) -> None:
    source, out = dns(corpus), tmp_path / "out"
    render(source, out, 5 / 3600, workers=1)
    read = sources.Pairs(
        f"{out}/noisy", f"{out}/clean", f"{out}/valid/noisy", f"{out}/valid/clean", segment_s=0.5, stride_s=0.5
    )
    assert len(read.train(0)) == 10
    trained = {read.train(0)[0, index].speaker for index in range(10)}
    validated = list(read.valid())
    assert [item.speaker for item in validated] == [item.speaker for item in source.valid()]
    assert trained.isdisjoint({item.speaker for item in validated})
    for item, made in zip(validated, source.valid(), strict=True):
        np.testing.assert_allclose(item.noisy, made.noisy, atol=2 / 32768)
    report = check(out)
    assert (report["layout"], report["ok"]) == ("pairs", True)


def test_processes_seeds_and_further_hours(corpus: Path, tmp_path: Path) -> None:
    render(dns(corpus), tmp_path / "once", 12 / 3600, workers=1)
    for hours, workers in ((4 / 3600, 1), (12 / 3600, 2), (12 / 3600, 1)):
        result = render(dns(corpus), tmp_path / "grown", hours, workers=workers)
        # What a killed process leaves behind is gone with the next run.
        (tmp_path / "grown" / "noisy" / ".half.sordino-part-x1y2z3_0.flac").touch()
    render(dns(corpus), tmp_path / "grown", 12 / 3600, workers=1)
    assert (result.written, result.present) == (0, 24 + 3)
    assert contents(tmp_path / "grown") == contents(tmp_path / "once")
    render(dns(corpus), tmp_path / "other", 12 / 3600, seed=1, workers=1)
    assert contents(tmp_path / "other" / "noisy").keys() != contents(tmp_path / "once" / "noisy").keys()


def test_another_rendering_in_the_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    render(dns(corpus), out, 2 / 3600, workers=1, about={"snr_db": (0, 20)})
    before = contents(out)
    with pytest.raises(InputError, match="seed 0, not 1"):
        render(dns(corpus), out, 2 / 3600, 1, workers=1, about={"snr_db": (0, 20)})
    with pytest.raises(InputError, match="about"):
        render(dns(corpus), out, 2 / 3600, workers=1, about={"snr_db": (5, 20)})
    with pytest.raises(InputError, match="2 mixtures more"):
        render(dns(corpus), out, 1 / 3600, workers=1, about={"snr_db": (0, 20)})
    assert contents(out) == before
    with pytest.raises(InputError, match="no rendering"):
        render(dns(corpus), corpus, 1 / 3600)
    for hours in (0.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            render(dns(corpus), tmp_path / "new", hours)
    assert not (tmp_path / "new").exists()


def test_noisy_only_for_label_free_training(corpus: Path, tmp_path: Path) -> None:
    render(dns(corpus), tmp_path / "out", 2 / 3600, noisy_only=True, workers=1)
    assert not (tmp_path / "out" / "clean").exists()
    assert len(list_audio(tmp_path / "out" / "valid" / "clean")) == 3
    assert sources.Pairs(f"{tmp_path}/out/noisy").labels == "none"
    alone = sources.Pairs(f"{tmp_path}/out/noisy", segment_s=0.5)
    with pytest.raises(InputError, match="--noisy-only"):
        render(alone, tmp_path / "again", 1 / 3600)
    render(alone, tmp_path / "again", 1 / 3600, noisy_only=True, workers=1)
    assert len(list_audio(tmp_path / "again" / "noisy")) == 2


def damage(corpus: Path) -> str:
    """Spoil the samples of one recording that is trained on; its header stays whole."""
    source = dns(corpus)
    validated = {item.speaker for item in source.valid()}
    paths = list_audio(corpus / "datasets" / "clean")
    path = next(path for path in paths if not any(speaker in path.stem for speaker in validated))
    write(path, np.full(round(1.5 * RATE), 0.1, np.float32), RATE, "FLOAT")
    whole = bytearray(path.read_bytes())
    whole[-20_000:] = np.full(5000, np.nan, np.float32).tobytes()
    path.write_bytes(whole)
    return path.name


def test_a_damaged_recording_is_refused_or_skipped_and_reported(corpus: Path, tmp_path: Path) -> None:
    name = damage(corpus)
    with pytest.raises(InputError, match=name):
        render(dns(corpus), tmp_path / "out", 20 / 3600, workers=1)
    result = render(dns(corpus), tmp_path / "out", 20 / 3600, workers=2, damaged="skip")
    assert result.failed
    assert all(name in reason for _, reason in result.failed)
    assert len(list_audio(tmp_path / "out" / "noisy")) == 40 - len(result.failed)
    again = render(dns(corpus), tmp_path / "out", 20 / 3600, workers=1, damaged="skip")
    assert (again.written, again.failed) == (0, result.failed)


def test_what_is_too_loud_is_turned_down_with_its_partner(tmp_path: Path) -> None:
    for number in range(3):
        loud = hiss(0.5, seed=number, level=0.6)
        write(tmp_path / "noisy" / f"s{number}_a.wav", loud, RATE, "FLOAT")
        write(tmp_path / "clean" / f"s{number}_a.wav", loud / 2, RATE, "FLOAT")
    source: Source = sources.Pairs(f"{tmp_path}/noisy", f"{tmp_path}/clean", segment_s=0.5)
    render(source, tmp_path / "out", 1 / 3600, workers=1)
    for _, noisy, clean in pair_files(tmp_path / "out" / "noisy", tmp_path / "out" / "clean"):
        assert np.abs(read_mono(noisy, RATE)).max() == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(read_mono(noisy, RATE), 2 * read_mono(clean, RATE), atol=4 / 32768)


def test_synthetic_sound_stays_marked(corpus: Path, tmp_path: Path) -> None:
    render(dns(corpus), tmp_path / "real", 1 / 3600, workers=1)
    (corpus / "SYNTHETIC.md").touch()
    render(dns(corpus), tmp_path / "out", 1 / 3600, workers=1)
    pairs = [sources.Pairs(f"{tmp_path}/{name}/noisy", f"{tmp_path}/{name}/clean") for name in ("real", "out")]
    assert [source.synthetic for source in pairs] == [False, True]
    shard(pairs[1], tmp_path / "shards", workers=1)
    assert sources.Shards(f"{tmp_path}/shards").synthetic


def test_the_command(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = tmp_path / "mine.yaml", str(tmp_path / "out")
    recipe.write_text(yaml.safe_dump({"data": {"name": "dns", "root": "absent", "segment_s": 0.5, "valid_items": 2}}))
    words = ["data", "render", str(recipe), out, "--hours", "0.001", f"data.root={corpus}", "--workers", "1", "--json"]
    main(words)
    assert json.loads(capsys.readouterr().out) == {"written": 9, "present": 0, "failed": [], "ok": True}
    assert json.loads((tmp_path / "out" / "render.json").read_text())["about"]["root"] == str(corpus)
    damage(corpus)
    with pytest.raises(SystemExit) as left:
        main([*words[:5], "0.01", *words[6:]])
    assert left.value.code == 2
    with pytest.raises(SystemExit) as left:
        main([*words[:5], "0.01", *words[6:], "--damaged", "skip"])
    assert left.value.code == 1


@pytest.mark.parametrize("noisy_only", [False, True])
def test_what_was_rendered_on_purpose_is_no_fault(corpus: Path, tmp_path: Path, noisy_only: bool) -> None:
    chances = {"clipping": 1.0, "clipping_db": [11.0, 12.0], "clean": 0.0, "noise_only": 0.0}
    about = {"augment": chances}
    source = sources.Dns(str(corpus), hours=5 / 3600, segment_s=1.0, valid_items=2, snr_db=(0, 20), **about)
    out = tmp_path / "out"
    render(source, out, 4 / 3600, noisy_only=noisy_only, workers=1, about=about)
    assert check(out)["counts"] == {}
    record = json.loads((out / "render.json").read_text())
    record["about"]["augment"] = None
    (out / "render.json").write_text(json.dumps(record))
    assert check(out)["counts"]["clipping"] > 0, "where nothing was to be clipped"


def test_pairs_that_are_clipped_by_mistake_stay_so_when_they_are_rendered(corpus: Path, tmp_path: Path) -> None:
    for speaker in range(6):
        for side, level in (("clean", 0.1), ("noisy", 3.0)):
            audio = np.clip(hiss(1.5, seed=speaker, level=level), -0.99, 0.99)
            write(tmp_path / "pairs" / side / f"p{speaker}_1.wav", audio, RATE)
    folders = {side: str(tmp_path / "pairs" / side) for side in ("noisy", "clean")}
    source = sources.Pairs(**folders, segment_s=1.0)
    render(source, tmp_path / "out", 4 / 3600, workers=1, about=folders)
    assert check(tmp_path / "out")["counts"]["clipping"] > 0
