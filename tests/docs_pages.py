"""The README, the pages of docs/ and their fenced blocks, for the tests that read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text("utf-8")
FIRST_MINUTES = ("Use a student", "Your own noises", "Your own method")
"""Sections of the README that tests/test_first_minutes.py walks; tests/test_readme.py runs the others."""
STEPS = {"steps": 2, "batch_size": 2, "validate_items": 1, "accelerator": "cpu", "threads": 1, "workers": 0}
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


def section(text: str, title: str) -> str:
    """What stands below the heading that begins with ``title``, up to the next one."""
    (found,) = re.findall(rf"^##+ {re.escape(title)}.*\n((?:(?!##).*\n)*)", text, flags=re.MULTILINE)
    return found


def first_example(page: str) -> list[Block]:
    above, *_ = re.split(r"^## ", read(page), maxsplit=1, flags=re.MULTILINE)
    return [block for block in blocks_of(above) if block.language]


def commands_of(blocks: Iterable[Block]) -> list[list[str]]:
    """The words of every command in blocks of shell, comments and continued lines taken care of."""
    text = "\n".join(block.text for block in blocks if block.language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def cut(recipe: Mapping[str, Any], segment_s: float) -> dict[str, Any]:
    """A recipe, or the scenario of a study, whose runs take two steps and score one mixture."""
    data = {**recipe["data"], "segment_s": segment_s}
    if data["name"] == "mix":
        data |= {"valid_items": 1} | ({"test_items": 1} if "test_items" in data else {})
    return {**recipe, "data": data, "train": {**recipe.get("train", {}), **STEPS}}


def shortened(text: str, segment_s: float = 0.5) -> str:
    """A recipe or a study as a short one: two steps, segments of ``segment_s``, one seed and a quick metric."""
    values = yaml.safe_load(text)
    if "methods" not in values:
        return yaml.safe_dump(cut(values, segment_s), sort_keys=False)
    if "scenarios" in values:
        values["scenarios"] = {name: cut(changes, segment_s) for name, changes in values["scenarios"].items()}
    return yaml.safe_dump({**values, "seeds": [0], "metrics": ["si_sdr_db"]}, sort_keys=False)
