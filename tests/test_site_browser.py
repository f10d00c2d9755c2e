"""The page of a student in a real browser: Chromium, without a window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

import sordino
from helpers.browser import CHROMIUM, CONTRAST, LACKING, PATIENCE_MS, PHONE, WORDS, opened
from helpers.corpora import RATE
from helpers.student_pages import Server, check, enhanced, save_loudest, serving, sounds, visit
from sordino.assets import DEFAULT_STUDENT, SPEECH
from sordino.audio import sound_files

if CHROMIUM is None:
    pytest.skip(LACKING, allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """Real speech in white noise, 3 s."""
    clean, rate = soundfile.read(str(SPEECH), dtype="float32")
    assert rate == RATE
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    return (0.5 * (clean + 0.3 * clean.std() * noise))[: 3 * RATE]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serving(DEFAULT_STUDENT, tmp_path_factory.mktemp("unet"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, talk: np.ndarray) -> Iterator[Browser]:
    """A browser whose microphone hears noisy speech."""
    recording = tmp_path_factory.mktemp("microphone") / "talk.wav"
    soundfile.write(recording, talk, RATE)
    with sync_api.sync_playwright() as playwright:
        words = [*WORDS, f"--use-file-for-fake-audio-capture={recording}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it asks for anything from another machine, or a script of it fails."""
    failed: list[str] = []
    with opened(browser) as page:
        page.on("pageerror", lambda error: failed.append(str(error)))
        yield page
    assert failed == []


def test_a_server_that_shows_no_folder_has_the_page_too(page: Page, site: Server) -> None:
    server = Server(site.folder, refused="/")
    try:
        page.goto(f"{server.address}index.html")
        page.get_by_text("Ready.").wait_for()
        page.get_by_text("Kept in this browser: works offline.").wait_for()
    finally:
        server.stop()


def test_the_page_equals_python_and_works_without_its_server(
    page: Page, talk: np.ndarray, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = serving(DEFAULT_STUDENT, tmp_path_factory.mktemp("alone"))
    visit(page, site)
    page.get_by_text("works offline").wait_for()
    stereo = np.stack([talk, talk[::-1]], axis=1)[: RATE + 77]
    for name, sound, subtype in (
        ("whole.wav", talk, "PCM_16"),
        ("stereo.wav", stereo, "PCM_24"),
        ("float.wav", talk[:200], "FLOAT"),
    ):
        soundfile.write(tmp_path / name, sound, RATE, subtype)
        check(enhanced(page, tmp_path / name), soundfile.read(tmp_path / name, dtype="float32")[0], DEFAULT_STUDENT)
    site.stop()
    page.reload()
    page.get_by_text("Ready.").wait_for()
    check(enhanced(page, tmp_path / "whole.wav"), talk, DEFAULT_STUDENT)


def test_other_formats_and_rates_are_brought_to_the_students(
    page: Page, site: Server, talk: np.ndarray, tmp_path: Path
) -> None:
    rate = 44100
    soundfile.write(tmp_path / "talk.flac", sound_files.resample(talk, RATE, rate), rate)
    visit(page, site)
    estimate = enhanced(page, tmp_path / "talk.flac")
    wanted = sordino.enhance(sound_files.read(tmp_path / "talk.flac", RATE)[0][0], RATE)
    length = min(len(estimate), len(wanted))
    assert max(len(estimate), len(wanted)) <= length + 1
    assert np.corrcoef(estimate[:length], wanted[:length])[0, 1] > 0.99


def test_students_that_want_the_whole_work_in_the_same_windows(page: Page, tmp_path: Path) -> None:
    model, noise = tmp_path / "loudest.onnx", np.random.default_rng(0)
    save_loudest(model)
    long = (noise.uniform(-0.5, 0.5, 70 * RATE) * np.linspace(0.1, 1, 70 * RATE)).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", long, RATE, "FLOAT")
    site = serving(model, tmp_path / "page")
    visit(page, site)
    page.get_by_text("This student needs the whole recording and cannot run live.").wait_for()
    assert page.locator("#live").is_disabled()
    check(enhanced(page, tmp_path / "long.wav"), long, model)
    site.stop()


def test_attention_works_in_the_browser(page: Page, talk: np.ndarray, tmp_path: Path) -> None:
    """Its operator is onnxruntime's own."""
    site = serving("manner-s-1.5gf", tmp_path / "site")
    visit(page, site)
    soundfile.write(tmp_path / "talk.wav", talk, RATE, "FLOAT")
    check(enhanced(page, tmp_path / "talk.wav"), talk, "manner-s-1.5gf")
    site.stop()


def test_the_microphone_is_enhanced_live(page: Page, site: Server) -> None:
    # The sounds of the players are read out below, which the page itself may not do.
    context = page.context.browser.new_context(bypass_csp=True, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    visit(page, site)
    page.get_by_role("button", name="Start the microphone").click()
    page.get_by_text("You hear the microphone, enhanced.").wait_for()
    assert page.locator("#file").is_disabled()
    page.locator("#load", has_text=re.compile(r"^\d+ %$")).wait_for()
    page.locator("#time", has_text=re.compile(r"^\d+\.\d ms, at most \d+\.\d$")).wait_for()
    assert page.locator("#dropped").inner_text().isdecimal()
    assert 60 <= int(page.locator("#latency").inner_text().removesuffix(" ms")) < 500
    page.wait_for_timeout(2000)
    page.get_by_role("button", name="Stop the microphone").click()
    page.get_by_text("Stopped. The last minute can be heard again below.").wait_for()
    noisy, estimate = (sounds(page, index) for index in range(2))
    context.close()
    assert len(noisy) >= RATE // 2
    assert noisy.std() > 0.01
    check(estimate, noisy, DEFAULT_STUDENT)


KEPT = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (window.given = await ask(wanted));
"""


def test_a_microphone_that_is_unplugged_is_noticed(page: Page, site: Server) -> None:
    page.context.grant_permissions(["microphone"])
    page.add_init_script(KEPT)
    visit(page, site)
    page.locator("#live").focus()
    page.keyboard.press("Enter")
    page.get_by_text("You hear the microphone, enhanced.").wait_for()
    assert page.evaluate("document.activeElement.id") == "live", "the keyboard can stop what it started"
    dropped = page.evaluate_handle(
        "() => { const all = new DataTransfer(); all.items.add(new File(['sound'], 'late.mp3')); return all; }"
    )
    page.locator("h1").dispatch_event("drop", {"dataTransfer": dropped})
    page.get_by_role("alert").get_by_text("late.mp3: stop the microphone first.").wait_for()
    page.wait_for_timeout(500)
    page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    page.get_by_text("The microphone is gone. Stopped. The last minute can be heard again below.").wait_for()
    assert page.get_by_role("button", name="Start the microphone").is_enabled()


def test_a_header_that_does_not_fit_its_file_is_completed_or_reported(
    page: Page, site: Server, tmp_path: Path, talk: np.ndarray
) -> None:
    file = BytesIO()
    soundfile.write(file, talk, RATE, format="WAV")
    whole = file.getvalue()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "open.wav").write_bytes(whole[:40] + bytes(4) + whole[44:])
    visit(page, site)
    page.locator("#file").set_input_files(tmp_path / "cut.wav")
    message = "cut.wav: ends after 1.5 s where its header promises 3.0 s. Was it cut short?"
    page.get_by_role("alert").get_by_text(message, exact=True).wait_for()
    page.locator("#file").set_input_files(tmp_path / "open.wav")
    page.get_by_text("Done: 3.0 s of sound").wait_for()


def test_mistakes_are_one_sentence_on_the_page(page: Page, site: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no sound at all\n" * 100)
    soundfile.write(tmp_path / "long.wav", np.zeros(605 * RATE, np.int16), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.int16), RATE)
    soundfile.write(tmp_path / "broken.wav", np.array([0.0, np.nan] * 500), RATE, "FLOAT")
    visit(page, site)
    for name, message in (
        ("notes.wav", "notes.wav: cannot be read as audio by this browser."),
        ("long.wav", "long.wav: lasts 10.1 minutes; the page takes 10.0 at most."),
        ("empty.wav", "empty.wav: holds no sound."),
        ("broken.wav", "broken.wav: holds samples that are no numbers."),
    ):
        page.locator("#file").set_input_files(tmp_path / name)
        page.get_by_role("alert").get_by_text(message, exact=True).wait_for()
    dropped = page.evaluate_handle(
        "() => { const all = new DataTransfer(); all.items.add(new File(['no sound'], 'dropped.mp3')); return all; }"
    )
    page.locator("h1").dispatch_event("drop", {"dataTransfer": dropped})
    page.get_by_role("alert").get_by_text("dropped.mp3: cannot be read as audio by this browser.").wait_for()
    page.get_by_role("button", name="Start the microphone").click()
    page.get_by_role("alert").get_by_text("The microphone may not be used: allow it for this page").wait_for()
    assert page.get_by_role("button", name="Start the microphone").is_enabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_can_be_read_and_needs_no_mouse(
    page: Page, site: Server, scheme: str, talk: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a-recording-with-a-long-name-from-last-week.wav", talk[:RATE], RATE)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    visit(page, site)
    enhanced(page, tmp_path / "a-recording-with-a-long-name-from-last-week.wav")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for place in ("h1", ".note", "#live", "#status", ".download", "small", "label", ".play"):
        assert page.locator(place).first.evaluate(CONTRAST) >= 4.5, place
    page.get_by_label("Choose a recording").focus()
    for name in ("live", "play", "position"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id || document.activeElement.className") in (
            name,
            f"action {name}",
        )
    for key, at in (("ArrowRight", 0.05), ("PageUp", 0.25), ("ArrowLeft", 0.2), ("PageDown", 0.0)):
        page.keyboard.press(key)  # the recording lasts a second
        page.wait_for_timeout(300)
        assert float(page.locator(".position").input_value()) == pytest.approx(at, abs=0.011)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.locator("figure.playing figcaption").inner_text() == "enhanced"
