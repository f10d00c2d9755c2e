"""Files on their way through a model: constant memory, nothing half written, bad ones reported, tags kept."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.corpora import RATE
from helpers.functions import same
from helpers.noise import tone
from sordino.audio import encoding, sound_files
from sordino.audio.temporary import Disk
from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference.files import ahead, enhance_file


def encoded(kind: str, seconds: float = 10.0) -> bytes:
    file = BytesIO()
    audio = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    soundfile.write(file, audio, RATE, format=kind)
    return file.getvalue()


def wav_that_promises(seconds: float, holds_s: float) -> bytes:
    size, samples = round(seconds * RATE) * 2, encoded("WAV", holds_s)[44:]
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, RATE, 32000, 2, 16, b"data", size
    )
    return header + samples


PEAK = """
import sys
from sordino.inference.files import enhance_file
enhance_file(sys.argv[1], sys.argv[2], lambda noisy: noisy)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to read the peak of the memory")
def test_ten_minutes_need_no_more_memory_than_one(tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.flac"
        sound_files.write(path, np.tile(tone(60), (2, minutes)), RATE)
        words = [sys.executable, "-c", PEAK, str(path), str(tmp_path / "out.wav")]
        peaks.append(int(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
        assert sound_files.info(tmp_path / "out.wav").length == minutes * 60 * RATE
    # The sound alone is 69 MB longer.
    assert peaks[1] - peaks[0] < 15, f"{peaks} MB"


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_long_files_come_out_whole(tmp_path: Path, suffix: str) -> None:
    noisy = np.stack([tone(70, 22050), tone(70, 22050, hertz=300)])
    sound_files.write(tmp_path / f"in{suffix}", noisy, 22050)
    steps: list[tuple[object, ...]] = []
    enhance_file(tmp_path / f"in{suffix}", tmp_path / "out.wav", same, progress=lambda *now: steps.append(now))
    audio, _ = sound_files.read(tmp_path / "out.wav")
    assert audio.shape == noisy.shape
    assert np.abs(audio - noisy)[:, 1000:-1000].max() < (0.005 if suffix in (".wav", ".flac") else 0.1)
    assert len(steps) == 70
    assert steps[-1] == ("enhancing, seconds", 70, 70, {})


def test_what_does_not_fit_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    noisy = np.concatenate([tone(3), 0.1 * tone(3)])
    sound_files.write(tmp_path / "in.wav", noisy, RATE)
    report = enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", lambda wave: 4 * wave)
    audio, _ = sound_files.read(tmp_path / "out.wav")
    np.testing.assert_allclose(audio[0], 2 * noisy, atol=1e-4)
    assert report["gain_db"] == pytest.approx(-20 * np.log10(2), abs=1e-3)
    sound_files.write(tmp_path / "in.wav", noisy, RATE, "FLOAT")
    assert enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", lambda wave: 4 * wave)["gain_db"] == 0
    np.testing.assert_allclose(sound_files.read(tmp_path / "out.wav")[0][0], 4 * noisy, atol=1e-6)


def test_work_is_done_ahead_and_its_errors_come_out() -> None:
    made: list[int] = []
    waiting = threading.Event()

    def items() -> Iterator[int]:
        for item in range(3):
            made.append(item)
            if item == 1:
                waiting.set()
            yield item
        raise InputError("items", "are at an end")

    handed = ahead(items())
    assert next(handed) == 0
    assert waiting.wait(10)  # the next is made while nobody asks for it
    assert [next(handed), next(handed)] == [1, 2]
    with pytest.raises(InputError, match="at an end"):
        next(handed)
    assert list(ahead(iter(()))) == []
    assert made == [0, 1, 2]


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "W64", "RF64", "MP3", "CAF"])
def test_files_that_were_cut_short_are_reported(tmp_path: Path, kind: str) -> None:
    whole = encoded(kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match=r"cut\.\w+: (ends after|is damaged|cannot be read)") as refused:
        enhance_file(path, tmp_path / "out.wav", same)
    assert "Error" not in str(refused.value), "libsndfile's own prefix"
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav_that_promises(36_000, 1.0), "ends after 1.00 s (32044 bytes); expected the 1152000000 bytes"),
        (encoded("WAV", 0.0), "holds no samples"),
        (encoded("FLAC")[:60], "bad.wav"),
        (b"words", "cannot be read as audio"),
    ],
    ids=["ten hours promised", "no samples", "half a header", "text"],
)
def test_a_bad_file_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(
            ["enhance", str(tmp_path / "bad.wav"), "-o", str(tmp_path / "out" / "b.wav"), "--model", f"{__name__}:same"]
        )
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["bad.wav"]


@pytest.mark.parametrize("placeholder", [0xFFFFFFFF, 0x7FFFFFFF])
def test_files_of_recorders_that_could_not_know_the_length_are_read(tmp_path: Path, placeholder: int) -> None:
    sound = bytearray(encoded("WAV", 1.0))
    sound[40:44] = struct.pack("<I", placeholder)
    (tmp_path / "piped.wav").write_bytes(sound)
    assert enhance_file(tmp_path / "piped.wav", tmp_path / "out.wav", same)["seconds"] == 1.0


def test_one_sample_is_a_sound(tmp_path: Path) -> None:
    for rate in (8000, 16000, 44100, 192000):
        sound_files.write(tmp_path / "one.wav", np.array([0.25]), rate, "FLOAT")
        enhance_file(tmp_path / "one.wav", tmp_path / "out.wav")
        assert (sound_files.info(tmp_path / "out.wav").length, sound_files.info(tmp_path / "out.wav").sample_rate) == (
            1,
            rate,
        )


def test_a_disk_that_fills_up_while_the_sound_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound_files.write(tmp_path / "in.wav", tone(5), RATE)

    class Full:
        """A file that takes no more than it has room for."""

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, data: bytes) -> int:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(encoding.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(InputError, match=r"out.wav: the disk is full"):
        enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", same)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


@pytest.mark.parametrize("closing", [False, True])
def test_a_signal_that_comes_while_a_file_is_written_or_closed_is_not_lost(
    closing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "in.wav", tone(3.0), RATE)
    write, signals, sizes = Disk.write, iter([signal.SIGINT]), [0]

    def interrupted(disk: Disk, data: bytes) -> int:
        sizes.append(len(data))
        # Sound, or the header that is written again when the file is closed.
        if sizes[-1] < 1000 < max(sizes) if closing else sizes[-1] > 1000:
            for number in signals:
                signal.raise_signal(number)
        return write(disk, data)

    monkeypatch.setattr(Disk, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", same)
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_what_no_wav_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    too_long = encoding.encoder(tmp_path / "a.wav", 48000, 2, "PCM_24", 10 * 3600 * 48000)
    with pytest.raises(InputError, match=r"fit into WAV; expected less than 4 GiB; write \.flac"), too_long:
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_gives_complex_numbers_is_reported(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1), RATE)
    with pytest.raises(InputError, match="gave complex numbers; expected samples"):
        enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", lambda noisy: noisy + 0j)


@pytest.mark.parametrize("name", ["song.flac", "song.wav", "song.mp3", "song.ogg"])
def test_tags_are_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    with soundfile.SoundFile(tmp_path / name, "w", RATE, 1) as file:
        file.title, file.artist = "Führung", "Someone"
        file.write(tone(0.5))
    enhance_file(tmp_path / name, tmp_path / "out", same)
    with soundfile.SoundFile(tmp_path / "out" / name) as file:
        assert (file.title, file.artist) == ("Führung", "Someone")
    enhance_file(tmp_path / name, tmp_path / "song.au", same)  # which has no tags
    assert soundfile.info(tmp_path / "song.au").frames == soundfile.info(tmp_path / name).frames


def test_what_may_have_been_cut_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = encoded("WAV")
    early = bytearray(whole)
    early[40:44] = struct.pack("<I", 2 * RATE)  # the header counts the first second
    ogg = encoded("OGG")
    for name, content, remark in (
        ("early.wav", bytes(early), ", the file holds 9.00 s more than its header says: they were left out"),
        ("whole.wav", whole, ""),
        ("tags.wav", whole + b"LIST" + struct.pack("<I", 80000) + b"INFO" + bytes(79996), ""),
        ("cut.ogg", ogg[: len(ogg) // 2], ", the file lacks the mark of its end: it may have been cut short"),
        ("whole.ogg", ogg, ""),
    ):
        (tmp_path / name).write_bytes(content)
        main(["enhance", str(tmp_path / name), "-o", str(tmp_path / f"out-{name}")])
        line = capsys.readouterr().out.rstrip()
        assert line.endswith(f" s at 16000 Hz{remark}"), line
