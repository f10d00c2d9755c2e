"""What the pages of docs/ name: links lead somewhere, tables have what the code has, the API pages what exists."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import pytest
import yaml

from docs_pages import DOCS, PAGES, read
from sordino.assets import recipes, shipped, studies
from sordino.cli.commands import COMMANDS
from sordino.data.augmentation import Augmentation
from sordino.data.sources import SOURCES
from sordino.distill.methods import METHODS
from sordino.experiments.schema import KEYS, TeacherSection
from sordino.experiments.study_plan import Study
from sordino.losses import LOSSES
from sordino.metrics import COLUMNS, METRICS
from sordino.models import MODELS
from sordino.training import Settings
from sordino.types import Tap

SIDES = "encoder", "decoder"


def slugs(text: str) -> set[str]:
    """The anchors of a page's headings."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_of_a_page_exist(page: str) -> None:
    text = read(page)
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    for link in links:
        if re.match(r"https?:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (DOCS / page).parent / target if target else DOCS / page
        assert path.is_file(), link
        if anchor:
            assert anchor in slugs(path.read_text("utf-8")), link


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, row by row, without the header."""
    _, _, below = read(page).partition(f"## {heading}\n")
    assert below, heading
    rows = re.search(r"(?:^\|.*\n)+", below, flags=re.MULTILINE)
    assert rows is not None, heading
    return [[cell.strip() for cell in row.strip().split("|")[1:-1]] for row in rows.group().splitlines()[2:]]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_column(page: str, heading: str) -> list[str]:
    return [name for row in table(page, heading) for name in codes(row[0])]


def test_the_table_of_taps_has_what_methods_read() -> None:
    kinds = ("", ".channel", ".global", ".local")
    taps = {
        f"{side}.{layer}{kind}": Tap("x", "BCNF", stride=1, offset=0)
        for side in SIDES
        for layer in (1, 2)
        for kind in kinds
    }
    taps |= {name: Tap("x", "BCN", stride=1, offset=0) for name in ("latent", "latent.bottleneck")}
    reads = {}
    for name, method in METHODS.items():
        one = method()
        one.connect(taps, taps)
        reads[name] = {re.sub(r"\d", "N", tap) for tap in (*one.student_taps, *one.teacher_taps)}
    rows = table("your-own-network.md", "Names of taps")
    assert {name: set(codes(row[1])) for row in rows for name in codes(row[0])} == reads


def value(cell: str) -> Any:
    """What a cell says in YAML, where 1e-3 is a number, too."""
    return float(cell) if re.fullmatch(r"\d+e-\d+", cell) else yaml.safe_load(cell)


def plain(default: Any) -> Any:
    """A default as YAML has it."""
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        ("methods.md", "One row each", METHODS),
        ("methods.md", "Arguments", METHODS),
        ("losses.md", "All losses", LOSSES),
        ("networks.md", "All networks", MODELS),
        ("metrics.md", "What is measured", METRICS),
        ("data.md", "Sources", SOURCES),
        ("recipe.md", "Sections", ("base", *KEYS)),
        ("recipe.md", "`teacher`", [field.name for field in fields(TeacherSection)]),
        ("settings.md", "All settings", [field.name for field in fields(Settings)]),
        ("studies.md", "The file", ("base", *(field.name for field in fields(Study)))),
        ("studies.md", "Studies that ship", studies()),
        ("augmentation.md", "Arguments", [field.name for field in fields(Augmentation)]),
    ],
    ids=lambda given: given if isinstance(given, str) else "names",
)
def test_a_table_names_all_members_once(page: str, heading: str, names: Iterable[str]) -> None:
    assert sorted(first_column(page, heading)) == sorted(names)


@pytest.mark.parametrize("command", ["bench", "evaluate", "live", "serve"])
def test_a_table_of_options_has_all_but_those_of_every_command(command: str) -> None:
    long = {next(name for name in names if name.startswith("--")) for names in options_of(command)}
    cells = "".join(row[0] for row in table(f"{command}.md", "Options"))
    assert set(re.findall(r"`(--[a-z-]+)", cells)) == long - {"--trust"}


def options_of(command: str) -> list[tuple[str, ...]]:
    """The names of the options of a command."""
    return [names for names, _ in COMMANDS[command].load().arguments if names[0].startswith("-")]


def test_columns_of_metrics_are_all_there() -> None:
    named = {name for row in table("metrics.md", "Columns") for cell in row for name in codes(cell)}
    assert named - METRICS.keys() | (named & COLUMNS.keys()) == set(COLUMNS)


def test_shipped_recipes_are_all_there() -> None:
    rows = re.findall(r"^\| .*`.*$", read("recipes.md"), flags=re.MULTILINE)
    assert sorted(name for row in rows for name in codes(row) if "/" in name) == recipes()


def test_shipped_students_can_be_continued() -> None:
    named = {name for row in table("fine-tune.md", "What can be continued")[:1] for name in codes(row[0])}
    assert named == {name for name in shipped() if not name.endswith("-int8")}


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_a_method_have_the_defaults_that_the_page_says(name: str) -> None:
    (written,) = [row[1].strip("`") for row in table("methods.md", "Arguments") if codes(row[0]) == [name]]
    defaults = {key: one.default for key, one in inspect.signature(METHODS[name]).parameters.items()}
    assert yaml.safe_load(written) == {key: plain(one) for key, one in defaults.items()}


@pytest.mark.parametrize(
    ("page", "heading", "settings"),
    [("settings.md", "All settings", Settings()), ("augmentation.md", "Arguments", Augmentation())],
    ids=["settings", "augmentation"],
)
def test_defaults_are_those_that_the_page_says(page: str, heading: str, settings: Any) -> None:
    for names, written, *_ in table(page, heading):
        values = [plain(getattr(settings, name)) for name in codes(names)]
        assert (yaml.safe_load(f"[{written}]") if len(values) > 1 else [value(written)]) == values, names


def identifiers() -> list[str]:
    return [name for page in PAGES for name in re.findall(r"^::: (\S+)$", read(page), flags=re.MULTILINE)]


@pytest.mark.parametrize("name", identifiers())
def test_an_identifier_of_the_api_pages_exists_and_has_a_docstring(name: str) -> None:
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        found = getattr(importlib.import_module(module), attribute)
    assert inspect.getdoc(found)


@pytest.mark.parametrize(
    "catalogue", [METHODS, LOSSES, MODELS, SOURCES], ids=["methods", "losses", "models", "sources"]
)
def test_the_module_of_every_member_is_on_an_api_page(catalogue: Mapping[str, Any]) -> None:
    assert {member.__module__ for member in catalogue.values()} - set(identifiers()) == set()
