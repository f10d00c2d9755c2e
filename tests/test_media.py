"""Sound of phones and videos, through PyAV: read like any other file, or one line on what is missing."""

from __future__ import annotations

import errno
import gc
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.functions import same
from helpers.noise import tone
from helpers.videos import record
from sordino.audio.folders import list_audio
from sordino.audio.sound_files import info, read
from sordino.audio.temporary import Disk
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference.files import enhance_file
from sordino.inference.folders import enhance_folder

KINDS = {"a.m4a": ("aac", 44100), "a.mp4": ("aac", 48000), "a.webm": ("libopus", 48000), "a.3gp": ("aac", 16000)}


def record_tone(path: Path, codec: str, rate: int) -> None:
    """Write a second of 1 kHz."""
    record(path, codec, rate, tone(1.0, rate, hertz=1000.0)[None])


@pytest.mark.parametrize("name", KINDS)
def test_they_are_read_whole(tmp_path: Path, name: str) -> None:
    codec, rate = KINDS[name]
    path = tmp_path / name
    record_tone(path, codec, rate)
    about = info(path)
    assert (about.sample_rate, about.channels) == (rate, 1)
    assert about.seconds == pytest.approx(1.0, abs=0.15)  # encoders add whole frames
    audio, _ = read(path)
    spectrum = np.abs(np.fft.rfft(audio[0][: rate // 2]))
    assert abs(2 * int(spectrum.argmax()) - 1000) <= 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path: Path, name: str) -> None:
    record(tmp_path / name, "aac", 48000, tone(1.0, 48000, hertz=1000.0)[None], pictures=10, late_s=0.5)
    audio, rate = read(tmp_path / name)
    loud = np.flatnonzero(np.abs(audio[0]) > 0.02)
    assert loud[0] / rate == pytest.approx(0.5, abs=0.05)
    assert not audio[0, : round(0.4 * rate)].any()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.m4a"])
def test_a_while_in_which_nothing_was_recorded_is_silent(tmp_path: Path, name: str) -> None:
    audio = tone(2.0, 48000, hertz=1000.0)[None]
    record(tmp_path / name, "aac", 48000, audio, gap_s=(1.0, 0.75))
    found, rate = read(tmp_path / name)
    assert found.shape[1] / rate == pytest.approx(2.75, abs=0.1)
    loud = np.flatnonzero(np.abs(found[0]) > 0.02) / rate
    longest = int(np.diff(loud).argmax())
    assert loud[longest] == pytest.approx(1.0, abs=0.1)
    assert loud[longest + 1] == pytest.approx(1.75, abs=0.1)


def test_enhanced_they_become_wav_in_a_folder(tmp_path: Path) -> None:
    record_tone(tmp_path / "in.m4a", "aac", 44100)
    (report,) = enhance_folder(tmp_path, tmp_path / "out", same)
    assert Path(report["output"]) == tmp_path / "out" / "in.m4a.wav"
    assert enhance_file(tmp_path / "in.m4a", tmp_path / "one.flac", same)["sample_rate"] == 44100


def test_their_tags_are_kept(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    record_tone(tmp_path / "plain.m4a", "aac", 44100)
    tags = {"title": "Interview", "artist": "Someone", "track": "3"}
    with av.open(str(tmp_path / "plain.m4a")) as plain, av.open(str(tmp_path / "a.m4a"), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream_from_template(plain.streams.audio[0])
        for packet in plain.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    enhance_file(tmp_path / "a.m4a", tmp_path / "a.flac", same)
    with soundfile.SoundFile(tmp_path / "a.flac") as file:
        assert (file.title, file.artist, file.tracknumber) == ("Interview", "Someone", "3")


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.mka", "film.mkv"])
def test_one_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 48000 * 4)).astype(np.float32)
    record(path, "libopus", 48000, sound, pictures=20 if name.startswith("film") else 0)
    assert info(path).seconds == pytest.approx(4.0, abs=0.1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"{name}: ends after [12]\.\d\d s; expected the 4\.\d\d s"):
        info(path)


def test_a_full_temporary_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_tone(tmp_path / "a.m4a", "aac", 44100)

    def full(disk: Disk, data: bytes) -> int:
        disk._error = OSError(errno.ENOSPC, "No space left on device")
        return 0

    monkeypatch.setattr(Disk, "write", full)
    with pytest.raises(InputError, match=r"has no room for the decoded sound; free some space, or name .* in TMPDIR"):
        read(tmp_path / "a.m4a")


def test_nothing_stays_open(tmp_path: Path) -> None:
    record_tone(tmp_path / "a.m4a", "aac", 44100)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        read(tmp_path / "a.m4a")
        gc.collect()
    assert [one for one in warned if one.category is ResourceWarning] == []


def test_what_is_no_sound_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100))
    with pytest.raises(InputError, match=r"a\.m4a: cannot be decoded|a\.m4a: holds no audio stream"):
        read(tmp_path / "a.m4a")


def test_without_pyav_a_line_says_what_to_install_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    soundfile.write(tmp_path / "a.wav", tone(0.5), 16000)
    (tmp_path / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0")
    assert [path.name for path in list_audio(tmp_path)] == ["a.wav", "phone.m4a"]
    with pytest.raises(SystemExit) as ended:
        main(["enhance", str(tmp_path), "-o", str(tmp_path / "out")])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "1 file, 1 failed" in printed
    assert "phone.m4a: is .m4a, which libsndfile does not read; run pip install 'sordino[media]'" in printed
