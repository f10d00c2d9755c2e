"""Cases of strangers that have no home in the test of one subject: a corpus of awkward files, numbers, and names.

Others are with their subjects: arrays with their axes exchanged, rates as floats, NaN (test_enhance), formats that
cannot hold what they get, long names, pipes, the recording as its own output (test_enhance_files), lengths left open,
absurd rates, album art (test_headers), phone sound in a folder (test_media), bad files in a test set (test_evaluate),
graphs and headers that lie, sections written twice (test_claims), brackets (test_progress).
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile

import sordino
from helpers.corpora import write_pair
from helpers.noise import tone
from sordino.cli.main import main
from sordino.data.sources import Pairs
from sordino.data.tools.check import check
from sordino.errors import INSTALL_TRAINING, printable
from sordino.files import identity

RATE = 16000


def without_length(path: Path) -> None:
    """Rewrite a FLAC as an encoder that writes into a pipe leaves it: neither length nor checksum."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:42] = bytes(20)
    path.write_bytes(data)


def test_flac_of_unknown_length_in_a_corpus_is_sound_like_any_other(tmp_path: Path) -> None:
    for speaker in range(3):
        write_pair(tmp_path, f"s{speaker}_0.flac", speaker, seconds=1.0)
    for side in ("noisy", "clean"):
        without_length(tmp_path / side / "s0_0.flac")
    folders = str(tmp_path / "noisy"), str(tmp_path / "clean")
    report = check(tmp_path)
    assert report["problems"] == []
    assert report["seconds"] == pytest.approx(6.0)
    scores = sordino.evaluate(None, folders, metrics=("snr_db",), workers=0)
    assert [row["seconds"] for row in scores.rows] == [1.0, 1.0, 1.0]
    assert not scores.failures
    for cache in (False, True):
        segments = Pairs(*folders, segment_s=0.5, stride_s=0.5, cache=cache).train(0)
        assert all(len(segments[0, index].noisy) == RATE // 2 for index in range(len(segments)))


def test_linked_speakers_are_part_of_a_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for place in (corpus / "clean" / "a", corpus / "noise", tmp_path / "elsewhere" / "b"):
        place.mkdir(parents=True)
        soundfile.write(place / "1.wav", tone(1.0, 200 + 50 * len(place.name)), RATE)
    (corpus / "clean" / "b").symlink_to(tmp_path / "elsewhere" / "b")
    parts = {part["split"]: part["entries"] for part in check(corpus)["parts"]}
    assert parts == {"speech": 2, "noise": 1}


@pytest.mark.parametrize(
    "words",
    [
        ["enhance", "in", "-o", "out", "--workers", "-1"],
        ["enhance", "in", "-o", "out", "--workers", "0"],
        ["enhance", "in/a.wav", "-o", "b.wav", "--strength", "nan"],
        ["enhance", "in/a.wav", "-o", "b.wav", "--strength", "-3"],
        ["bench", "unet-24", "--seconds", "0"],
        ["bench", "unet-24", "--seconds", "1e12"],
        ["bench", "unet-24", "--threads", "0"],
        ["bench", "unet-24", "--repeats", "0"],
        ["data", "check", "in", "--measure", "-1"],
        ["data", "check", "in", "--sample-rate", "0"],
        ["data", "prepare", "in", "out", "--sample-rate", "0"],
        ["data", "prepare", "in", "out", "--workers", "-1"],
        ["evaluate", "noisy", "--data", "in", "in", "--workers", "-1"],
        ["evaluate", "noisy", "--data", "in", "in", "--sample-rate", "0"],
    ],
)
def test_a_number_out_of_range_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    soundfile.write("in/a.wav", tone(0.5), RATE)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert sum(line.startswith("sordino: ") for line in printed.err.splitlines()) == 1
    assert sorted(path.name for path in Path().rglob("*")) == ["a.wav", "in"]


LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["enhance", LONG, "-o", "b.wav"],
        ["enhance", "a.wav", "-o", f"{LONG}.wav"],
        ["enhance", "a.wav", "-o", "b.wav", "--model", LONG],
        ["enhance", "a.wav", "-o", "b.wav", "--model", f"{LONG}.onnx"],
        ["train", LONG],
        ["study", LONG],
        ["evaluate", LONG, "--data", "in", "in"],
        ["data", "check", LONG],
    ],
    ids=lambda words: f"{words[0]} {words.index(next(word for word in words if LONG in word))}",
)
def test_a_name_that_is_too_long_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", tone(0.5), RATE)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sordino: ")
    assert [path.name for path in Path().iterdir()] == ["a.wav"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full and a shell")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("models > /dev/full", 2, "sordino: standard output: the disk is full; free some space and run again\n"),
        ("models >&-", 0, ""),
        ("enhance --stream <&-", 2, "sordino: standard input: is closed; expected sound; "),
        ("enhance --stream >&-", 2, "sordino: standard output: is closed; expected sound; "),
    ],
)
def test_streams_that_are_full_or_closed(words: str, code: int, message: str) -> None:
    done = subprocess.run(f"{sys.executable} -m sordino {words}", shell=True, capture_output=True, input="", text=True)
    assert (done.returncode, done.stderr[: len(message)]) == (code, message)
    assert len(done.stderr.splitlines()) <= 1


def test_a_removed_working_folder_is_no_obstacle(tmp_path: Path) -> None:
    code = f"cd {tmp_path} && rmdir {tmp_path} && {sys.executable} -m sordino models"
    done = subprocess.run(code, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


AWKWARD = ["\x1b]0;title\x07\x1b[2J", "\u202egpj", "=1+1", "a\x07b", "\udcff\udcfe"]  # the last is no UTF-8


def test_names_are_written_out_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        for name in AWKWARD:
            (tmp_path / "in").mkdir(exist_ok=True)
            (tmp_path / "in" / f"{name}.wav").write_bytes(b"no sound")
        soundfile.write(tmp_path / "good.wav", tone(0.5), RATE)
        (tmp_path / "good.wav").rename(tmp_path / "in" / f"good{AWKWARD[-1]}.wav")
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(SystemExit) as left:
        main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    assert left.value.code == 1
    text = "".join(capsys.readouterr())
    assert text.isascii()
    assert {line for line in text if not line.isprintable()} == {"\n"}
    for name in AWKWARD:
        assert f"{printable(name)}.wav: cannot be read as audio" in text
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"good{AWKWARD[-1]}.wav"]


def test_what_can_be_seen_stays_as_it_is() -> None:
    text = "Žluťoučký 録音 नमस्ते می‌خواهم 👩‍👧 – ± \t\n"
    assert printable(text) == text


def test_a_command_names_the_program_once(tmp_path: Path) -> None:
    """As for a user who has the first tier alone."""
    hidden = "import sys, importlib.util as u; find = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *rest: None if name in ('torch', 'pesq') else find(name, *rest)\n"
    hidden += "from sordino.cli.main import main; main(['bench', 'unet-24'])"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"sordino: this command: needs torch, pesq; {INSTALL_TRAINING}\n"


def test_a_replaced_file_is_another_whatever_its_time_stamp(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", set()
    for content in (b"one", b"two", b"six"):
        with io.FileIO(path, "w") as file:
            file.write(content)
        seen.add(identity(path))
    assert len(seen) >= 2
    assert identity(path) == identity(path)
