"""Microphone to speaker, on devices that are made up: what is played, how late, and how gaps are reported."""

from __future__ import annotations

import json
import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sordino.cli.main import main
from sordino.errors import InputError
from sordino.inference import live as room
from sordino.inference.live import devices, live

DEVICES = [
    {"index": 0, "name": "USB Mic", "max_input_channels": 1, "max_output_channels": 0, "default_samplerate": 44100.0},
    {"index": 1, "name": "Headphones", "max_input_channels": 0, "max_output_channels": 2, "default_samplerate": 48e3},
]


class Halve:
    """An engine that halves, ``delay`` samples late."""

    name, sample_rate, hop, delay = "halve", 16000, 160, 37

    def start(self, channels: int) -> np.ndarray:
        return np.zeros((channels, self.delay), np.float32)

    def step(self, block: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        recorded = np.concatenate([state, block], axis=1)
        return recorded[:, : block.shape[1]] / 2, recorded[:, block.shape[1] :]


class Fake:
    """Stands for the module sounddevice: a microphone that hears a sine, and a speaker that remembers."""

    class PortAudioError(Exception):
        pass

    def __init__(self, rates: tuple[int, ...] = (16000, 44100, 48000), ends_after: float = math.inf) -> None:
        self.rates, self.ends_after = rates, ends_after
        self.recorded, self.played = 0, []
        self.opened: SimpleNamespace | None = None
        self.lost, self.late = set[int](), set[int]()

    def query_devices(self, device: Any = None, kind: str | None = None) -> Any:
        if device is None and kind is None:
            return DEVICES
        found = [
            one
            for one in DEVICES
            if one[f"max_{kind}_channels"] and (device in (None, one["index"]) or str(device) in one["name"])
        ]
        if len(found) != 1:
            raise ValueError(f"No {kind} device matching {device!r}")
        return found[0]

    def check_input_settings(self, device: int, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")

    check_output_settings = check_input_settings

    def Stream(self, samplerate: int, blocksize: int, device: tuple[int, int], **options: Any) -> Fake:
        assert options == {"channels": 1, "dtype": "float32", "latency": "low"}
        self.check_input_settings(device[0], 1, "float32", samplerate)
        self.opened = SimpleNamespace(rate=samplerate, block=blocksize, device=device, closed=False)
        return self

    latency = (0.008, 0.012)

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.opened is not None
        self.opened.closed = True

    def read(self, frames: int) -> tuple[np.ndarray, bool]:
        assert self.opened is not None
        if self.recorded >= self.ends_after * self.opened.rate:
            raise KeyboardInterrupt
        time = np.arange(self.recorded, self.recorded + frames) / self.opened.rate
        self.recorded += frames
        return sine(time)[:, None], len(self.played) in self.lost

    def write(self, data: np.ndarray) -> bool:
        assert data.dtype == np.float32
        assert data.flags.c_contiguous
        self.played.append(data.copy())
        return len(self.played) in self.late


def sine(time: np.ndarray) -> np.ndarray:
    return (0.6 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)


def lateness(report: dict[str, Any], fake: Fake) -> int:
    """Samples by which the output lags the input, by the reported latency, up to the rounding of latencies."""
    own_s = report["latency_s"] - report["block_s"] - sum(fake.latency)
    return round(own_s * report["sample_rate"]) + room.ROUNDING


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # pyright: ignore[reportArgumentType]
    return fake


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("block_s", [0.0031, 0.01, 0.05])
def test_every_block_recorded_is_followed_by_one_played_as_late_as_reported(
    fake: Fake, rate: int, block_s: float
) -> None:
    report = live(Halve(), sample_rate=rate, block_s=block_s, limit_s=1.0)
    block = round(block_s * rate)
    assert {len(part) for part in fake.played} == {block}
    played = np.concatenate(fake.played)[:, 0]
    assert len(played) == fake.recorded >= rate
    late = lateness(report, fake)
    time = np.arange(len(played) - late) / rate
    begun = rate // 50  # the resampler rings where the sine begins
    np.testing.assert_allclose(played[late + begun :], 0.5 * sine(time)[begun:], atol=1e-4)
    assert not played[:late].any()
    assert fake.opened is not None
    assert fake.opened.closed


def test_gaps_are_counted_and_the_end_is_an_answer(fake: Fake) -> None:
    fake.lost, fake.late, fake.ends_after = {3, 4}, {7}, 0.5
    statuses: list[room.LiveStatus] = []
    report = live(Halve(), on_status=statuses.append)
    assert (report["overflows"], report["underflows"]) == (2, 1)
    assert report["seconds"] == pytest.approx(0.5)
    assert (report["microphone"], report["speaker"]) == ("USB Mic", "Headphones")
    assert [status.seconds for status in statuses] == pytest.approx(np.arange(1, 51) / 100)
    assert report["latency_s"] == pytest.approx((160 + 37) / 16000 + 0.01 + 0.02)
    assert report["timing"]["blocks"] == 50


def test_strength_zero_plays_what_is_recorded_and_nothing_beyond_full_scale(fake: Fake) -> None:
    report = live(Halve(), strength_db=0.0, limit_s=0.2)
    late = lateness(report, fake)
    played = np.concatenate(fake.played)[:, 0]
    np.testing.assert_allclose(played[late:], sine(np.arange(len(played) - late) / 16000), atol=1e-6)


def test_a_rate_that_no_device_takes_is_resampled(fake: Fake) -> None:
    fake.rates = (44100,)
    assert live(Halve(), limit_s=0.1)["sample_rate"] == 44100
    fake.rates = (16000,)
    assert live(Halve(), limit_s=0.1)["sample_rate"] == 16000
    with pytest.raises(InputError, match="Invalid sample rate; sordino live --devices"):
        live(Halve(), sample_rate=96000)


def test_devices_are_chosen_by_index_or_name(fake: Fake) -> None:
    live(Halve(), microphone=0, speaker="Head", limit_s=0.05)
    assert fake.opened is not None
    assert fake.opened.device == (0, 1)
    with pytest.raises(
        InputError, match="input device: No input device matching 'Piano'; sordino live --devices lists"
    ):
        live(Halve(), microphone="Piano")
    with pytest.raises(InputError, match="output device"):
        live(Halve(), speaker=0)
    assert [device["outputs"] for device in devices()] == [0, 2]


def test_what_cannot_be(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot run block by block"):
        live(np.tanh)
    for name, value, found in (
        ("block_s", 0.0, "0 s"),
        ("limit_s", -1.0, "-1 s"),
        ("strength_db", -1.0, "-1 dB"),
        ("high_band", "half", "half"),
    ):
        with pytest.raises(InputError, match=found):
            live(Halve(), **{name: value})
    assert fake.recorded == 0
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match=r"pip install 'sordino\[live\]'"):
        devices()


def test_the_command(fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(room, "open_engine", lambda model, threads: Halve())
    main(["live", "--devices"])
    assert "1 Headphones 0 2 48000" in " ".join(capsys.readouterr().out.split())
    main(["live", "--seconds", "0.5", "--microphone", "0", "--block-ms", "20", "--strength", "6", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["seconds"], report["block_s"]) == (0.5, 0.02)
    main(["live", "--seconds", "0.1"])
    assert "latency 42 ms, 0 xruns" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["live", "--speaker", "Piano"])
    assert left.value.code == 2


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 0.0, 61.0])
def test_blocks_of_no_sensible_length_are_refused(seconds: float) -> None:
    with pytest.raises(InputError, match=r"block length: .*more than 0, and at most 60 s"):
        live(block_s=seconds)
