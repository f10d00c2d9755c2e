"""What tests in a real browser share: where it is, sizes of screens, and the contrast of what is seen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LACKING = "needs Chromium: apt-get install chromium"

# Whoever tests as root, as in a container, has no sandbox; the pages are ours.
WORDS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]

PATIENCE_MS = 180_000
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

CONTRAST = """(element) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  let ground = element;
  const clear = (one) => numbers(getComputedStyle(one).backgroundColor)[3] === 0;
  while (ground.parentElement && clear(ground)) ground = ground.parentElement;
  const [one, other] = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}"""
"""The ratio of WCAG 2 between a text and what it stands on."""


@contextmanager
def opened(browser: Browser, local: str = r"http://127\.0\.0\.1[:/]|data:|blob:") -> Iterator[Page]:
    """A page; on leaving, whatever it or a worker of it asked for must have been ``local``."""
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.set_default_navigation_timeout(PATIENCE_MS)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert [url for url in asked if not re.match(rf"({local})", url)] == []
