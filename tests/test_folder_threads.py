"""The threads of a model in a folder: as many as its files can use at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.corpora import RATE
from helpers.functions import same
from helpers.noise import tone
from helpers.streams import Identity
from sordino.audio import sound_files
from sordino.inference import folders
from sordino.inference.folders import enhance_folder
from sordino.inference.model import Model


@pytest.mark.parametrize(
    ("streams", "files", "workers", "threads"),
    [
        (True, 1, None, None),
        (True, 3, None, 1),
        (True, 9, 2, 1),
        (False, 1, None, None),
        (False, 9, 1, None),
        (False, 9, 2, 4),
        (False, 9, None, 1),
        (False, 3, 16, 2),
    ],
)
def test_a_folder_has_the_threads_that_its_files_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: bool, files: int, workers: int | None, threads: int | None
) -> None:
    asked: list[int | None] = []

    def opened(_: object, threads: int | None = None) -> Model:
        asked.append(threads)
        return Model("same", RATE, same, engine=Identity() if streams else None, shareable=True)

    monkeypatch.setattr(folders, "open_model", opened)
    monkeypatch.setattr(folders, "usable_cores", lambda: 8)
    for index in range(files):
        sound_files.write(tmp_path / "in" / f"{index}.wav", tone(0.05), RATE)
    assert all("error" not in one for one in enhance_folder(tmp_path / "in", tmp_path / "out", workers=workers))
    assert asked[-1] == threads
