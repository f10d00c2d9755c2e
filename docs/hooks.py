"""Put the pages of ``benchmarks/results/`` on the site, beside those of ``docs/``.

The pages link to measurements by the layout of the repository (``../benchmarks/results/NAME.md``), so that the links
also work where the files are read as they are. On the site both folders lie below one root.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"
SUFFIXES = {".md", ".svg", ".csv"}
ROLE = re.compile(r":(?:class|func|meth|data):(?=<code>)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of measurements and what they show."""
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.suffix in SUFFIXES:
            name = path.relative_to(ROOT).as_posix()
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Rewrite the links that lead from one of the two folders into the other."""
    if page.file.src_uri.startswith(RESULTS):
        return markdown.replace("](../../docs/", "](../../")
    return markdown.replace("](../benchmarks/", "](benchmarks/")


def on_page_content(html: str, **_: Any) -> str:
    """Drop the roles of docstrings (``:class:`Segments```), which Markdown shows as they are."""
    return ROLE.sub("", html)
