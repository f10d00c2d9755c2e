"""The listening page and the page of results in a real browser: Chromium, without a window."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from helpers.browser import CHROMIUM, CONTRAST, LACKING, PHONE, WORDS, opened
from helpers.listening import check_switch, drop, sounding, visit, wait_for_description
from helpers.real import PAIRS
from helpers.videos import record
from sordino.app.serve import Limits, serving
from sordino.app.serve.blind_test import LETTERS, MOST
from sordino.assets import DEFAULT_STUDENT, shipped
from sordino.audio.mix import mix
from sordino.cli.main import main
from sordino.data.voices import Voice, make_noise, speak
from sordino.report.pages.runs import Example, write_page
from sordino.report.runs import RunRow

pytestmark = pytest.mark.slow

if CHROMIUM is None:
    pytest.skip(LACKING, allow_module_level=True)
# Both are imported by what needs them, as they take seconds.
for package, reason in (("gradio", "needs sordino[web]"), ("playwright", "needs playwright")):
    if find_spec(package) is None:
        pytest.skip(reason, allow_module_level=True)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RATE = 44100
REPEATS = 8
PARAMETERS = f"{shipped()[DEFAULT_STUDENT]['parameters']:,} parameters"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with a noisy recording, short and long, and its clean reference: real where the corpus is."""
    folder = tmp_path_factory.mktemp("talk")
    pairs = PAIRS / "voicebank-demand-test"
    if pairs.is_dir():
        clean, noisy = (soundfile.read(sorted((pairs / kind).iterdir())[0])[0] for kind in ("clean", "noisy"))
        rate = 16000
    else:
        generator, rate = np.random.default_rng(0), RATE
        clean = speak(generator, Voice.draw(generator), 3.0, rate)
        noisy, clean, _ = mix(clean, make_noise(generator, "pink", 3.0, rate)[: len(clean)], 5.0)
    soundfile.write(folder / "noisy.wav", np.stack([noisy, noisy], axis=1), rate)
    soundfile.write(folder / "clean.wav", clean, rate)
    # Long enough that a switch is flipped before the end, on however slow a machine.
    noisy = np.tile(noisy, REPEATS)
    soundfile.write(folder / "talk.wav", np.stack([noisy, noisy], axis=1), rate)
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(limits=Limits(minutes=1, megabytes=5)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WORDS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it asks for anything from another machine."""
    with opened(browser, r"http://127\.0\.0\.1[:/]|data:|blob:|file:") as page:
        yield page


def test_a_file_is_dropped_enhanced_heard_and_downloaded(page: Page, address: str, talk: Path, tmp_path: Path) -> None:
    visit(page, address)
    page.get_by_text(PARAMETERS).wait_for()
    drop(page, talk / "talk.wav")
    wait_for_description(page, "2 channels.")
    assert page.locator(".timestamps time").first.evaluate(CONTRAST) >= 4.5
    page.get_by_role("button", name="Enhance", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download talk-enhanced.wav").click()
    saved.value.save_as(tmp_path / "page.wav")
    main(["enhance", str(talk / "talk.wav"), "-o", str(tmp_path / "line.wav")])
    assert (tmp_path / "page.wav").read_bytes() == (tmp_path / "line.wav").read_bytes()
    check_switch(page, "noisy", "enhanced")


DROP = """([field, address, name]) => {
  const content = Uint8Array.from(atob(address), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([content], name, { type: name.endsWith(".mp4") ? "video/mp4" : "" }));
  field.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
}"""


@pytest.mark.parametrize("way", ["chosen", "dropped"])
@pytest.mark.parametrize("name", ["film.mp4", "talk.w64", "no-suffix"])
def test_films_and_what_browsers_do_not_know_are_taken(
    page: Page, address: str, talk: Path, tmp_path: Path, name: str, way: str
) -> None:
    sound, rate = soundfile.read(talk / "clean.wav")
    if name == "film.mp4":
        record(tmp_path / name, "aac", rate, sound[None], pictures=10)
    else:
        soundfile.write(tmp_path / name, sound, rate, format="W64")
    visit(page, address)
    if way == "chosen":
        drop(page, tmp_path / name)
    else:
        field = page.get_by_role("tabpanel").locator("input[type=file]").first.locator("xpath=..").element_handle()
        page.evaluate(DROP, [field, base64.b64encode((tmp_path / name).read_bytes()).decode(), name])
    wait_for_description(page, "1 channel.")
    page.get_by_role("button", name="Enhance", exact=True).click()
    page.get_by_role("link", name="Download").wait_for()


def test_a_blind_comparison_goes_to_its_tally(page: Page, address: str, talk: Path) -> None:
    visit(page, address, "Compare")
    drop(page, talk / "noisy.wav")
    wait_for_description(page, "2 channels.")
    drop(page, talk / "clean.wav")
    wait_for_description(page, "1 channel.")
    page.get_by_role("button", name="Compare", exact=True).click()
    ballot = (
        page.get_by_role("radiogroup")
        .filter(has_text="no preference")
        .or_(page.get_by_role("group").filter(has_text="Which one do you prefer?"))
    )
    ballot.first.wait_for()
    letters = LETTERS[: min(MOST, len(shipped()))]
    assert page.locator("figcaption").all_inner_texts() == ["noisy", *letters, "clean"]
    player = page.locator(".player").first.inner_html()
    assert not [name for name in shipped() if name in player]
    ballot.first.get_by_label("B", exact=True).check()
    page.get_by_role("button", name="Vote").click()
    page.get_by_text("Counted: 1 so far.").wait_for()
    page.get_by_role("button", name="Show the tally").click()
    rows = page.locator("tbody tr")
    rows.nth(1).wait_for()
    texts = rows.all_inner_texts()
    assert "1 of 1" in texts[0]
    assert "0 of 1" in texts[1]
    header = page.locator("thead").inner_text()
    assert all(name in header for name in ("PESQ", "STOI", "CSIG", "CBAK", "COVL", "SI-SDR"))
    assert len(re.findall(r"\d+\.\d", texts[0])) >= 7
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_can_be_read(page: Page, address: str, scheme: str) -> None:
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    visit(page, address)
    page.get_by_text(PARAMETERS).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".note").first.evaluate("(note) => note.clientWidth") > 0.85 * PHONE["width"]
    seen = [locator.evaluate(CONTRAST) for locator in (page.locator(".note").first, page.locator("h1"))]
    seen.append(page.get_by_role("button", name="Enhance", exact=True).evaluate(CONTRAST))
    assert min(seen) >= 4.5
    unnamed = "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility()"
    unnamed += " && !one.innerText.trim() && !one.ariaLabel && !one.title).length"
    assert page.evaluate(unnamed) == 0


def test_mistakes_are_one_sentence_on_the_page(page: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no sound at all\n" * 100)
    soundfile.write(tmp_path / "long.flac", np.zeros(61 * 8000, np.int16), 8000)
    soundfile.write(tmp_path / "large.wav", np.zeros(3_000_000, np.int16), 48000)
    for name, message in (
        ("notes.wav", "notes.wav: cannot be read as audio"),
        ("long.flac", "long.flac: lasts 1.0 minutes; expected 1 at most"),
        ("large.wav", "exceed the maximum allowed size"),
    ):
        visit(page, address)
        drop(page, tmp_path / name)
        page.get_by_text(message).first.wait_for()
    visit(page, address)
    page.get_by_role("button", name="Enhance", exact=True).click()
    page.get_by_role("alert").get_by_text("noisy recording: there is none; drop a file, or record one").wait_for()


def test_the_microphone_records_or_says_why_not(page: Page, address: str) -> None:
    def record() -> None:
        visit(page, address)
        page.get_by_role("button", name="Record audio").first.click()
        page.get_by_role("button", name="Record", exact=True).first.click()

    record()
    page.get_by_role("alert").get_by_text("The microphone may not be used: allow it for this page").wait_for()
    page.context.grant_permissions(["microphone"])
    record()
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    wait_for_description(page, "1 channel.")
    page.get_by_role("button", name="Enhance", exact=True).click()
    page.get_by_role("link", name="Download").wait_for()


def test_a_page_of_results_has_the_same_player(page: Page, tmp_path: Path) -> None:
    time = np.arange(30 * 16000) / 16000
    waves = {name: 0.1 * np.sin(2 * np.pi * tone * time) for name, tone in (("noisy", 300), ("model", 600))}
    examples: list[Example] = [{"id": f"p_{index}", "sample_rate": 16000, "waves": waves} for index in range(2)]
    write_page(tmp_path / "report.html", "Results", [RunRow("model", {"pesq_wb": 2.0}, n=1)], examples=examples)
    page.goto((tmp_path / "report.html").as_uri())
    check_switch(page, "noisy", "model")
    # One player sounds at a time.
    players = page.locator(".player")
    for index in range(2):
        players.nth(index).get_by_role("button", name="Play").click()
        page.wait_for_function(
            "(name) => document.querySelectorAll('.player')[name].querySelector('.position').value > 0", arg=index
        )
    assert sounding(page) == ["p_1, noisy"]
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
