"""Sound through a pipe, from file to file, and ``sordino enhance --stream``."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import sordino
from helpers.corpora import RATE
from helpers.noise import white
from helpers.riff import chunks
from sordino import models
from sordino.audio.pcm import decode, encode
from sordino.errors import InputError
from sordino.inference.pipe import enhance_stream


class Gain:
    """An engine without any network: what went in, that much louder."""

    name, sample_rate, hop, delay = "gain", RATE, 160, 0

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def start(self, channels: int) -> None:
        return None

    def step(self, block: np.ndarray, state: None) -> tuple[np.ndarray, None]:
        return self.gain * block, state


def through(data: bytes, **options: Any) -> tuple[bytes, dict[str, Any]]:
    target = io.BytesIO()
    report = enhance_stream(io.BytesIO(data), target, Gain(), **options)
    return target.getvalue(), report


def test_raw_and_wav_come_out_as_they_went_in() -> None:
    raw = encode(white(2, 5001, level=0.2), "s16le")
    out, report = through(raw, channels=2, sample_rate=RATE)
    assert out == raw
    assert report["seconds"] == 5001 / RATE
    assert report["timing"]["blocks"] == -(-5001 // 320)
    file = io.BytesIO()
    soundfile.write(file, white(777, level=0.2), RATE, "PCM_24", format="WAV")
    out, report = through(file.getvalue())
    assert np.array_equal(*(soundfile.read(io.BytesIO(data))[0] for data in (out, file.getvalue())))
    assert soundfile.info(io.BytesIO(out)).subtype == "PCM_24"
    floats, _ = through(file.getvalue(), encoding="f32le")
    np.testing.assert_allclose(decode(floats, "f32le", 1)[0], soundfile.read(io.BytesIO(out))[0], atol=1e-7)
    wav, _ = through(raw, encoding="wav", channels=2)
    assert soundfile.info(io.BytesIO(wav)).frames == 5001


def test_streams_that_end_within_a_sample_or_too_soon_are_written_and_reported() -> None:
    raw = encode(white(1, 1000, level=0.2), "s16le")
    target = io.BytesIO()
    with pytest.raises(InputError, match=r"ends with 1 byte\(s\)"):
        enhance_stream(io.BytesIO(raw[:-1]), target, Gain(), RATE)
    assert target.getvalue() == raw[:-2]
    wav = chunks((b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)), (b"data", raw))
    target = io.BytesIO()
    with pytest.raises(InputError, match=r"ends after 0\.03 s where its header promises 0\.06 s"):
        enhance_stream(io.BytesIO(wav[:-1000]), target, Gain())
    assert soundfile.info(io.BytesIO(target.getvalue())).frames == 500


@pytest.mark.parametrize("fault", [np.nan, np.inf, -1500.0])
def test_a_stream_ends_before_a_sample_that_is_none(fault: float) -> None:
    wave, target = white(2, 1000, level=0.2), io.BytesIO()
    whole = encode(wave, "f32le")
    wave[1, 777] = fault
    with pytest.raises(
        InputError, match=rf"standard input: a sample of {fault:g} at 0\.05 s; expected full scale at 1"
    ):
        enhance_stream(io.BytesIO(encode(wave, "f32le")), target, Gain(), channels=2, encoding="f32le")
    assert target.getvalue() == whole[: 777 * 8]


def test_nothing_in_nothing_out_and_clipping_is_counted() -> None:
    out, report = through(b"")
    assert (out, report["seconds"], report["timing"]) == (b"", 0, None)
    loud = np.array([[0.5, 1.5, -2.0]], np.float32).astype("<f4").tobytes()
    out, report = through(loud, encoding="f32le")
    assert (out, report["clipped"]) == (loud, 0)
    target = io.BytesIO()
    raw = io.BytesIO(encode(white(1, 50, level=0.2) + 0.6, "s16le"))
    assert enhance_stream(raw, target, Gain(2.0), RATE)["clipped"] > 0
    for block_s in (0, float("nan"), 1e9):
        with pytest.raises(InputError, match="more than 0"):
            through(b"", block_s=block_s)


@pytest.mark.parametrize("thread", [False, True])
def test_ctrl_c_ends_the_stream_with_its_summary(thread: bool) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 6400:
                raise KeyboardInterrupt
            return super().read(size)

    source = Interrupted(chunks((b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)), (b"data", bytes(9000))))
    target = io.BytesIO()
    run = partial(enhance_stream, source, target, Gain(), block_s=0.0213)  # after which part of a hop waits
    if thread:
        with ThreadPoolExecutor(1) as pool:
            report = pool.submit(run).result()
    else:
        report = run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert 0.2 < report["seconds"] < 0.23
    assert soundfile.info(io.BytesIO(target.getvalue())).frames == round(report["seconds"] * RATE)


RAW = "--format", "s16le"
STUDENT = "unet-24"
NO_STREAM = (
    "sordino: manner-s-1.5gf: cannot run block by block, as it needs the whole recording; "
    "expected a student that ships and can, dualpath-24 or dualpath-14 or unet-24"
)
"""One that ships starts without torch, which takes seconds to load."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("stream") / "unet.safetensors"
    models.save(models.create("unet", width=8, depth=3), path)
    return path


def command(model: str | Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "sordino", "enhance", "--stream", "--model", str(model), *words]


def test_command_raw_and_wav(checkpoint: Path, tmp_path: Path) -> None:
    noisy = white(8001, level=0.2)
    soundfile.write(tmp_path / "in.wav", noisy, RATE)
    whole, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    expected = sordino.enhance(whole, RATE, checkpoint)
    raw = encode(whole[None], "f32le")
    words = command(checkpoint, "-", "-o", "-", "--format", "f32le", "--json", "--block-ms", "13")
    done = subprocess.run(words, input=raw, capture_output=True, timeout=120, check=True)
    np.testing.assert_allclose(np.frombuffer(done.stdout, "<f4"), expected, atol=1e-5)
    report = json.loads(done.stderr)
    assert report["latency_s"] == 0.02
    assert report["timing"]["blocks"] == -(-8001 // 208)
    with open(tmp_path / "in.wav", "rb") as source, open(tmp_path / "out.wav", "wb") as target:
        done = subprocess.run(command(STUDENT), stdin=source, stdout=target, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("0.50 s at 16000 Hz, latency 20.0 ms, blocks of 20 ms: p50 ")
    assert "RTF" in line
    written, rate = soundfile.read(tmp_path / "out.wav")
    assert (rate, soundfile.info(tmp_path / "out.wav").subtype) == (RATE, "PCM_16")
    np.testing.assert_allclose(written, sordino.enhance(whole, RATE, STUDENT), atol=1 / 2**15)


def test_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    for words, data, message in (
        (command(STUDENT, "--format", "s16le"), encode(white(1, 700, level=0.2), "s16le")[:-1], "was it cut short?"),
        (command(STUDENT), b"<!DOCTYPE html><title>404</title>", "is no WAV"),
        (command("manner-s-1.5gf", "--format", "s16le"), b"\0\0", NO_STREAM),
        (command(STUDENT, "noisy.wav"), b"", "is a name"),
        ([sys.executable, "-m", "sordino", "enhance", "a.wav", "-o", "b.wav", "--rate", "8000"], b"", "add --stream"),
    ):
        done = subprocess.run(words, input=data, capture_output=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 2
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith("sordino: ")
        assert message in line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_command_on_a_full_disk() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(STUDENT, *RAW), input=bytes(64000), stdout=full, stderr=subprocess.PIPE, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "sordino: standard output: the disk is full; free some space and run again"
    ]


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    process = subprocess.Popen(
        command(STUDENT, *RAW), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(bytes(6400))
        process.stdin.flush()
        assert len(process.stdout.read(320)) == 320  # before the input ended: nobody waits for the rest
        process.stdout.close()
        try:
            for _ in range(100):
                process.stdin.write(bytes(6400))
            process.stdin.close()
        except BrokenPipeError:
            process.stdin = None
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""
