"""The listening page keeps the levels of estimates that are too loud for their files, and shows remarks on files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.noise import hiss, tone
from helpers.served import HALF, RATE
from sordino.app.serve import jobs
from sordino.app.serve.blind_test import BlindTest
from sordino.app.serve.service import WITHOUT_LIMIT_DB, Service
from sordino.app.serve.sessions import Sessions
from sordino.inference.model import Model


def silent(*_: object) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    models = {
        name: replace(HALF, name=name, model=Model(name, RATE, lambda noisy, gain=gain: noisy * np.float32(gain)))
        for name, gain in (("same", 1.0), ("louder", 1.5), ("loudest", 3.0))
    }
    return Service(models, jobs.Limits(minutes=0.1), Sessions(tmp_path))


def drop(service: Service, content: np.ndarray | bytes, name: str) -> str:
    upload = service.sessions.uploads / name
    if isinstance(content, bytes):
        upload.write_bytes(content)
    else:
        soundfile.write(upload, content, RATE)
    service.admit("one", str(upload))
    return str(upload)


def levels_db(answer: str) -> list[float]:
    """Levels of the versions in the player, above that of the first."""
    sounds = re.findall(r'src="gradio_api/file=([^"]*)"', answer)
    powers = [np.mean(soundfile.read(sound)[0] ** 2) for sound in sounds]
    return [float(10 * np.log10(power / powers[0])) for power in powers]


@pytest.mark.parametrize("blind", [False, True])
def test_models_that_are_too_loud_for_their_files_keep_their_levels_in_the_player(
    service: Service, blind: bool
) -> None:
    upload, names = drop(service, tone(0.2, level=0.8), "talk.wav"), ["same", "louder", "loudest"]
    answer, trial = service.compare("one", (upload, None), names, blind, BlindTest(), silent)
    shown = list(trial.letters.values()) if blind else names
    expected_db = {"same": 0.0, "louder": 3.52, "loudest": 9.54}
    assert levels_db(answer) == pytest.approx([0.0, *(expected_db[name] for name in shown)], abs=0.02)
    assert "All versions are turned down by 7.6 dB to avoid clipping." in answer


def test_an_enhanced_file_that_was_turned_down_says_so_and_keeps_its_level_in_the_player(service: Service) -> None:
    upload = drop(service, tone(0.2, level=0.8), "talk.wav")
    answer = service.enhance("one", upload, "louder", WITHOUT_LIMIT_DB, silent)
    assert '<p class="note" role="status">talk-enhanced.wav: turned down by 1.6 dB to avoid clipping.</p>' in answer
    assert levels_db(answer) == pytest.approx([0.0, 3.52], abs=0.02)
    assert "turned down" not in service.enhance("one", upload, "same", WITHOUT_LIMIT_DB, silent)


def test_a_recording_that_may_have_been_cut_short_is_reported_on_the_page(service: Service, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.ogg", hiss(4.0), RATE)
    content = (tmp_path / "whole.ogg").read_bytes()
    upload = drop(service, content[: len(content) // 2], "cut.ogg")
    remark = "the file lacks the mark of its end: it may have been cut short.</p>"
    assert f"cut-enhanced.ogg: {remark}" in service.enhance("one", upload, "same", WITHOUT_LIMIT_DB, silent)
    answer, _ = service.compare("one", (upload, None), ["same"], False, BlindTest(), silent)
    assert f"cut.ogg: {remark}" in answer
