"""A reader of pages that refuses what is not well formed or asks for anything from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Reader(HTMLParser):
    """Collects elements and checks that every one is closed."""

    VOID = {"meta", "link", "br", "img", "input"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole(page: str) -> Reader:
    """Read a page, which must be well formed, ask for nothing from outside, and name all that is not text."""
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert page.startswith("<!DOCTYPE html>")
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe")
        for key in ("src", "href", "xlink:href"):
            assert re.match(r"data:|#", attributes.get(key) or "#"), attributes[key]
        if tag in ("svg", "audio"):
            assert attributes["aria-label"]
    assert not re.search(r"url\((?!#)|@import", page)
    inner = {name for found in re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", page) for name in found if name}
    assert inner <= set(names)
    return reader


def labels(reader: Reader) -> list[str]:
    """What the figures of a page are called for those who do not see them."""
    return [attributes["aria-label"] or "" for tag, attributes in reader.elements if tag == "svg"]
