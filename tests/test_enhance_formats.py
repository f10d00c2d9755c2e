"""What the format of an enhanced file keeps: its encoding, its tags, and the nearest rate that it has."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from helpers.corpora import RATE
from helpers.functions import same
from helpers.noise import tone
from sordino.inference.blend import Blend
from sordino.inference.files import enhance_file
from sordino.inference.model import Model


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_tags_and_encoding_of_what_is_decoded_first_are_kept(tmp_path: Path, suffix: str) -> None:
    with soundfile.SoundFile(tmp_path / f"a{suffix}", "w", 44100, 1) as file:
        file.title = "Hello"
        file.write(tone(0.5, 44100))
    content = (tmp_path / f"a{suffix}").read_bytes()
    if suffix == ".mp3":
        start = content.index(b"\xff\xfb")  # of the frame that states the length, which a recorder may leave out
        content = content[:start] + content[content.index(b"\xff\xfb", start + 4) :]
    else:
        content += content  # as cat joins them
    (tmp_path / f"a{suffix}").write_bytes(content)
    report = enhance_file(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", same)
    assert report["notes"] == []
    with soundfile.SoundFile(tmp_path / f"b{suffix}") as file:
        assert file.title == "Hello"


@pytest.mark.parametrize(
    ("model_rate", "name", "written"), [(32000, "a.opus", 48000), (96000, "a.mp3", 48000), (16000, "a.opus", 16000)]
)
def test_at_the_models_rate_a_format_takes_the_nearest_that_it_has(
    tmp_path: Path, model_rate: int, name: str, written: int
) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1.0), RATE)
    model = Model("same", model_rate, same)
    report = enhance_file(tmp_path / "a.wav", tmp_path / name, model, Blend(keep_rate=False))
    about = soundfile.info(tmp_path / name)
    assert (about.samplerate, report["sample_rate"]) == (written, written)
    assert about.duration == pytest.approx(1.0, abs=0.05)
    note = f"has no {model_rate} Hz, so it was written at {written} Hz"
    assert [note in one for one in report["notes"]] == [True] * (model_rate != written)


@pytest.mark.parametrize(
    ("source", "target", "subtype"),
    [
        ("a.aif", "b.aiff", "PCM_24"),
        ("a.aifc", "b.aiff", "PCM_24"),
        ("a.oga", "b.ogg", "VORBIS"),
        ("a.ogg", "b.opus", "OPUS"),
        ("a.aif", "b.wav", "PCM_16"),
    ],
)
def test_two_suffixes_of_one_format_keep_the_sample_type(
    tmp_path: Path, source: str, target: str, subtype: str
) -> None:
    form = "AIFF" if ".aif" in source else "OGG"
    soundfile.write(tmp_path / source, tone(0.2), RATE, {"AIFF": "PCM_24", "OGG": "VORBIS"}[form], format=form)
    assert enhance_file(tmp_path / source, tmp_path / target, same)["notes"] == []
    assert soundfile.info(tmp_path / target).subtype == subtype
