"""The pages of docs/ and their fenced blocks, for the tests that read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


class Block(NamedTuple):
    """A fenced block: its language, the file that it is, and what stands in it."""

    language: str
    title: str
    text: str


def blocks_of(text: str) -> list[Block]:
    found = re.findall(r'^ *```(\w*)(?: title="([^"]+)")?\n(.*?)^ *```$', text, flags=re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found]


def read(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def first_example(page: str) -> list[Block]:
    above, *_ = re.split(r"^## ", read(page), maxsplit=1, flags=re.MULTILINE)
    return [block for block in blocks_of(above) if block.language]


def commands_of(blocks: Iterable[Block]) -> list[list[str]]:
    """The words of every command in blocks of shell, comments and continued lines taken care of."""
    text = "\n".join(block.text for block in blocks if block.language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
