"""What visitors of the listening page do in a browser, and what the page shows and plays them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def visit(page: Page, address: str, tab: str = "Enhance") -> None:
    page.goto(address)
    page.get_by_role("tab", name=tab).click()
    page.get_by_role("button", name=tab, exact=True).wait_for()


def drop(page: Page, path: Path) -> None:
    """Drop a file into the first place that is empty on the tab that is open."""
    page.get_by_role("tabpanel").locator("input[type=file]").first.set_input_files(path)


def wait_for_description(page: Page, text: str) -> None:
    """Wait until the open tab shows the description of a recording."""
    page.get_by_role("tabpanel").get_by_text(text).wait_for()


def position(page: Page) -> float:
    return float(page.locator(".player .position").first.input_value())


def sounding(page: Page) -> list[str]:
    return page.evaluate(
        "[...document.querySelectorAll('.player audio')].filter((one) => !one.paused)"
        ".map((one) => one.getAttribute('aria-label'))"
    )


def check_switch(page: Page, first: str, second: str) -> None:
    """Play the first version, flip the switch, and see that the second goes on where the first was."""
    player = page.locator(".player").first
    player.locator(".position").fill("1")
    player.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.player .position').value > 1.1")
    assert len(sounding(page)) == 1
    assert sounding(page)[0].endswith(f", {first}")
    before = position(page)
    player.get_by_label(first, exact=True).press("ArrowRight")
    page.wait_for_function(
        "(name) => [...document.querySelector('.player').querySelectorAll('audio')].every((one) =>"
        " one.paused === !one.getAttribute('aria-label').endsWith(name))",
        arg=f", {second}",
    )
    assert position(page) >= before - 0.05
    player.get_by_role("button", name="Pause").click()
    assert sounding(page) == []
    at = position(page)
    player.get_by_label(first, exact=True).check()
    assert abs(position(page) - at) < 0.02
    assert player.locator("figure.playing figcaption").inner_text() == first
