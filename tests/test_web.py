"""What is behind the listening page: limits, players, blind rounds, and files that go with their visitors."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.served import HALF, QUARTER, RATE
from sordino.app.serve import jobs
from sordino.app.serve.blind_test import BlindTest
from sordino.app.serve.service import WITHOUT_LIMIT_DB, Left, Service
from sordino.app.serve.sessions import Sessions
from sordino.errors import InputError
from sordino.inference.enhance import enhance
from sordino.inference.files import enhance_file
from sordino.inference.model import Model, open_model


def write(path: Path, seconds: float = 0.5, rate: int = RATE, channels: int = 1, seed: int = 0) -> Path:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, noise, rate)
    return path


def silent(*_: object) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service({"half": HALF, "quarter": QUARTER}, jobs.Limits(minutes=0.1), Sessions(tmp_path))


def drop(service: Service, session: str, name: str = "talk.wav", **form: Any) -> str:
    folder = service.sessions.uploads / name
    folder.mkdir(exist_ok=True)
    upload = str(write(folder / name, **form))
    service.admit(session, upload)
    return upload


def files(service: Service) -> list[str]:
    folders = (service.sessions.uploads, service.sessions.work)
    return [path.name for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_an_enhanced_file_is_the_one_that_the_command_line_makes(tmp_path: Path) -> None:
    source = write(tmp_path / "noisy.wav", 1.3, 44100, 2)
    shares: list[float] = []

    def listen(_task: str, done: int, total: int, _numbers: Mapping[str, float]) -> None:
        shares.append(done / total)

    jobs.enhanced(source, tmp_path / "page.wav", open_model(), None, listen)
    enhance_file(source, tmp_path / "line.wav")
    assert (tmp_path / "page.wav").read_bytes() == (tmp_path / "line.wav").read_bytes()
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] <= 1


@pytest.mark.parametrize("limit_db", [0.0, 6.0, 20.0])
def test_a_limit_lowers_noise_by_no_more_than_it_says(tmp_path: Path, limit_db: float) -> None:
    source = write(tmp_path / "noisy.wav")
    silence = Model("silence", RATE, np.zeros_like)
    jobs.enhanced(source, tmp_path / "limited.wav", silence, limit_db, silent)
    noisy, limited = soundfile.read(source)[0], soundfile.read(tmp_path / "limited.wav")[0]
    assert np.allclose(limited, noisy * 10 ** (-limit_db / 20), atol=1e-4)


def test_a_recording_over_the_limits_or_none_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not sound\n" * 50)
    with pytest.raises(InputError, match=r"^text.wav: cannot be read as audio"):
        jobs.look(tmp_path / "text.wav", jobs.Limits())
    long = write(tmp_path / "long.wav", 7)
    with pytest.raises(InputError, match=r"^long.wav: lasts 0.1 minutes; expected 0.1 at most"):
        jobs.look(long, jobs.Limits(minutes=0.1))
    with pytest.raises(InputError, match="has 0 MB"):
        jobs.look(long, jobs.Limits(megabytes=0.1))
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match="holds no samples"):
        jobs.look(tmp_path / "empty.wav", jobs.Limits())
    with pytest.raises(InputError, match="above 0"):
        jobs.Limits(minutes=0)


def test_the_service_enhances_and_keeps_only_the_last_result(service: Service) -> None:
    upload = drop(service, "one", rate=48000, channels=2)
    answers = [service.enhance("one", upload, "half", WITHOUT_LIMIT_DB, silent) for _ in range(2)]
    (link,) = re.findall(r'href="gradio_api/file=([^"]*)"', answers[1])
    assert soundfile.info(link).samplerate == 48000
    assert soundfile.info(link).channels == 2
    expected = enhance(soundfile.read(upload)[0].T, 48000, HALF.model).T
    assert np.allclose(soundfile.read(link)[0], expected, atol=1e-4)
    sounds = re.findall(r'src="gradio_api/file=([^"]*)"', answers[1])
    assert [soundfile.info(sound).subtype for sound in sounds] == ["PCM_16", "PCM_16"]
    assert sorted(files(service)) == ["talk-enhanced.wav", "talk.wav", "version-0.wav", "version-1.wav"]
    service.sessions.leave("one")
    assert files(service) == []
    with pytest.raises(InputError, match="no longer here"):
        service.enhance("one", upload, "half", WITHOUT_LIMIT_DB, silent)
    with pytest.raises(InputError, match="there is none"):
        service.enhance("one", None, "half", WITHOUT_LIMIT_DB, silent)


def test_work_stops_and_leaves_nothing_when_its_visitor_leaves(service: Service) -> None:
    service.limits = jobs.Limits()
    upload, calls = drop(service, "one", seconds=70), []

    def run(noisy: np.ndarray) -> np.ndarray:
        calls.append(len(noisy))
        service.sessions.leave("one")
        return noisy

    service.models = {"leaving": replace(HALF, model=Model("leaving", RATE, run))}
    with pytest.raises(Left):
        service.enhance("one", upload, "leaving", WITHOUT_LIMIT_DB, silent)
    assert len(calls) == 1  # of three windows
    assert files(service) == []
    assert list(service.sessions.work.iterdir()) == []


def test_one_thread_makes_all_answers_whoever_asks(service: Service) -> None:
    upload, workers = drop(service, "one"), set()

    def progress(task: str, *_: object) -> None:
        if task == "drawing":  # a file is enhanced in threads of its own
            workers.add(threading.current_thread())

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(service.enhance, "one", upload, "half", WITHOUT_LIMIT_DB, progress) for _ in range(4)]
    assert all("Download talk-enhanced.wav" in one.result() for one in asked)
    (worker,) = workers
    service.close()
    assert not worker.is_alive()


def test_a_service_that_closes_stops_its_work(service: Service) -> None:
    service.limits = jobs.Limits()
    upload, calls = drop(service, "one", seconds=70), []
    begun, gone = threading.Event(), threading.Event()

    def run(noisy: np.ndarray) -> np.ndarray:
        calls.append(len(noisy))
        begun.set()
        gone.wait(60)
        return noisy

    service.models = {"slow": replace(HALF, model=Model("slow", RATE, run))}
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(service.enhance, "one", upload, "slow", WITHOUT_LIMIT_DB, silent)
        assert begun.wait(60)
        closed = pool.submit(service.close)
        while "one" in service.sessions:
            time.sleep(0.01)
        gone.set()
        closed.result()
    with pytest.raises(Left):
        asked.result()
    assert len(calls) == 1  # of three windows
    assert files(service) == []


def test_an_upload_of_two_visitors_goes_with_the_second(service: Service) -> None:
    upload = drop(service, "one")
    service.admit("two", upload)
    service.sessions.leave("one")
    assert service.sessions.has("two", Path(upload))
    service.sessions.leave("two")
    assert files(service) == []


def test_a_sweep_takes_what_nobody_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service({"half": HALF}, jobs.Limits(), Sessions(tmp_path, keep_s=3600, stray_s=60))
    drop(service, "one", "claimed.wav")
    began = time.monotonic()
    for name, age_s in (("old", 0), ("new", 61)):
        (service.sessions.uploads / name).write_bytes(b"half an upload")
        monkeypatch.setattr(time, "monotonic", lambda now=began + age_s: now)
        service.sessions.sweep()
    monkeypatch.undo()
    assert sorted(files(service)) == ["claimed.wav", "new"]
    (tmp_path / "other").mkdir()
    impatient = Sessions(tmp_path / "other", keep_s=-1)
    impatient.came("one", Path(service.sessions.uploads / "claimed.wav" / "claimed.wav"))
    impatient.sweep()
    assert "one" not in impatient
    assert files(service) == ["new"]


def test_an_open_comparison_scores_every_version(service: Service) -> None:
    uploads = drop(service, "one"), drop(service, "one", "clean.wav", seed=1)
    answer, trial = service.compare("one", uploads, ["half", "quarter"], False, BlindTest(), silent)
    assert trial == BlindTest()
    shown = re.findall(r"<figcaption>(.*?)</figcaption>", answer)
    assert shown == ["noisy", "half", "quarter", "clean"]
    assert re.findall(r'<th scope="row">(.*?)</th>', answer) == ["noisy", "half", "quarter"]
    assert all(label in answer for label in ("PESQ", "STOI", "CSIG", "CBAK", "COVL", "SI-SDR"))
    short = drop(service, "one", "short.wav", seconds=1)
    with pytest.raises(InputError, match=r"clean reference: lasts 1.00 s; expected 0.50 s"):
        service.compare("one", (uploads[0], short), ["half"], False, BlindTest(), silent)
    with pytest.raises(InputError, match="models: 0 are chosen; expected 1 to 4"):
        service.compare("one", (uploads[0], None), [], False, BlindTest(), silent)


def test_a_blind_comparison_tells_no_names_before_its_tally(service: Service) -> None:
    upload, orders, trial = drop(service, "one"), set(), BlindTest()
    for _ in range(12):
        answer, trial = service.compare("one", (upload, None), ["half", "quarter"], True, trial, silent)
        assert "half" not in answer
        assert "quarter" not in answer
        assert re.findall(r"<figcaption>(.*?)</figcaption>", answer) == ["noisy", "A", "B"]
        orders.add(tuple(trial.letters.values()))
        sounds = re.findall(r'src="gradio_api/file=([^"]*)"', answer)
        levels = [float(np.abs(soundfile.read(sound)[0]).mean()) for sound in sounds]
        quieter = "A" if levels[1] < levels[2] else "B"
        assert trial.letters[quieter] == "quarter"
        trial = trial.vote(quieter)
    assert orders == {("half", "quarter"), ("quarter", "half")}
    table = service.tally(trial)
    assert re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>', table) == [
        ("quarter", "12 of 12", "–", "3.00"),
        ("half", "0 of 12", "1.00", "–"),
    ]
    assert "from the cards, on ours" in table
