"""Check of the data of a recipe: its folders, and whether validation and test are spread over speakers and noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sordino.audio.folders import list_audio
from sordino.data.mixer import noise_of
from sordino.data.names import recording_of, speaker_of
from sordino.errors import InputError
from sordino.experiments.build import build_source
from sordino.experiments.schema import Component
from sordino.types import Item, Progress


def check_data(data: Component, progress: Progress | None = None) -> dict[str, Any]:
    """Open the section ``data`` of a recipe as a run does, and read all of its validation and test.

    Args:
        data: the section.
        progress: called after every item that was read.

    Returns:
        ``source``, ``folders`` (key, path and files of each), ``parts`` (split, items and seconds; of validation and
        test also ``speakers`` and ``noises``, the number of items by name, noises empty where items do not tell),
        ``problems`` and ``warnings``, which are sentences, and ``ok``: no problems. Ready for JSON.

    Raises:
        InputError: a folder is missing, or the header of a training recording tells that it cannot be used.
    """
    source = build_source(data)
    segments = source.train(0)
    folders = {key: Path(value) for key, value in data.arguments.items() if isinstance(value, str)}
    parts: list[dict[str, Any]] = [
        {"split": "train", "items": len(segments), "seconds": len(segments) * source.segment_s}
    ]
    problems: list[str] = []
    warnings: list[str] = []
    held_out = {"valid": source.valid()}
    try:
        held_out["test"] = source.test()
    except InputError as error:
        if error.where != "data":  # there is one, which cannot be used
            raise
        warnings.append(f"there is no test set: {error.hint}")
    for split, items in held_out.items():
        part = _read(split, items, source.sample_rate, problems, progress)
        parts.append(part)
        warnings += _narrow(part)
    warnings += _unnamed(folders)
    return {
        "source": data.name,
        "folders": [
            {"key": key, "path": str(path), "files": len(list_audio(path))}
            for key, path in folders.items()
            if path.is_dir()
        ],
        "parts": parts,
        "problems": problems,
        "warnings": warnings,
        "ok": not problems,
    }


def _read(
    split: str, items: Sequence[Item], sample_rate: int, problems: list[str], progress: Progress | None
) -> dict[str, Any]:
    """Read every item of a split; what cannot be read joins ``problems``."""
    samples, speakers, noises = 0, dict[str, int](), dict[str, int]()
    for index in range(len(items)):
        if progress is not None:
            progress(f"reading {split}", index + 1, len(items), {})
        try:
            item = items[index]
        except InputError as error:
            problems.append(f"{split}: {error}")
            continue
        samples += item.length
        speakers[item.speaker] = speakers.get(item.speaker, 0) + 1
        if noise := noise_of(item.id):
            recording = recording_of(Path(f"{noise}.wav"))
            noises[recording] = noises.get(recording, 0) + 1
    seconds = samples / sample_rate
    return {"split": split, "items": len(items), "seconds": seconds, "speakers": speakers, "noises": noises}


def _unnamed(folders: Mapping[str, Path]) -> list[str]:
    """Warn about speech of as many speakers as files: the names then seem to be of recordings, not of speakers."""
    speech = next((folders[key] for key in ("clean", "noisy") if key in folders and folders[key].is_dir()), None)
    files = [] if speech is None else list_audio(speech)
    if speech is None or len(files) < 2 or len({speaker_of(path, speech) for path in files}) < len(files):
        return []
    found = f"{speech}: the names tell of as many speakers as files, {len(files)}"
    risk = "if one voice is in several files, training, validation and test may share it"
    return [f"{found}; {risk}: put the files of each speaker into a folder"]


def _narrow(part: dict[str, Any]) -> list[str]:
    """Warn about a split that has a single item, speaker or noise, whose figures mean little."""
    split, items = part["split"], part["items"]
    remedy = "add recordings of others"
    if split == "test":
        remedy += ", or give test_noisy and test_clean"
    if items == 1:
        return [f"{split}: has one recording alone; {remedy}"]
    named = (("speaker", part["speakers"]), ("noise recording", part["noises"]))
    return [
        f"{split}: all {items} items have the same {what}, {next(iter(counts))}; {remedy}"
        for what, counts in named
        if len(counts) == 1
    ]
