"""Evaluation of a model on a test set: ``sordino.evaluate(model, data)``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sordino.audio.alignment import describe_reference
from sordino.audio.folders import list_audio
from sordino.audio.pcm import optional_rate
from sordino.audio.sound_files import read_mono
from sordino.data.base import LazySequence, Source
from sordino.data.names import speaker_of
from sordino.data.recordings import is_synthetic, pair_files
from sordino.distributed import rank
from sordino.errors import InputError
from sordino.evaluation.score import NOISY, Scores, score
from sordino.evaluation.trained_on import marks
from sordino.inference.enhance import enhance
from sordino.inference.graphs.source import SAMPLE_RATE
from sordino.inference.model import Model, open_model
from sordino.metrics import DEFAULT, Align
from sordino.types import Enhance, Item, Progress


def evaluate(
    model: Any,
    data: Source | Sequence[Item] | tuple[str | Path, str | Path] | str | Path,
    *,
    metrics: Sequence[str] = DEFAULT,
    split: Literal["test", "valid"] = "test",
    workers: int | None = None,
    progress: Progress | None = None,
    align: Align = "exact",
    sample_rate: int | None = None,
    model_rate: int | None = None,
) -> Scores:
    """Enhance a test set with a model and score the result.

    Args:
        model: what ``sordino.inference.model.open_model`` takes: a file, the name of a shipped model, a network, or a
            function from noisy [T] to estimate [T] or its name. None scores the noisy input itself.
        data: a source, its items, two folders ``(noisy, clean)`` whose files pair by name, or one folder of noisy
            recordings for metrics that need no reference.
        metrics: names as ``sordino.metrics.metric`` takes them.
        split: which recordings of a source: ``test`` or ``valid``.
        workers: processes that compute the metrics; 0 computes them in this one; None takes one per core.
        progress: called after each file.
        align: ``"shorter"`` cuts each clean signal and estimate to the shorter of the two; ``"exact"`` requires equal
            lengths; ``"lag"`` shifts each estimate by its measured lag, and then cuts.
        sample_rate: Hz at which estimates are scored. For items it is their rate, by default the model's; for folders
            the rate at which they are read, by default 16000, which most metrics need. A source has its own.
        model_rate: Hz of a function, or of an ONNX file that does not state its rate; 16000 when left out. If it is not
            the rate of the data, the data are resampled for the model, and its estimate is resampled back.

    Returns:
        One row per file, and the metrics that failed. A warning names references that are late or of another recording.

    Raises:
        InputError: the data do not fit the model, or there is nothing to score.
    """
    sample_rate, model_rate = optional_rate(sample_rate, "sample_rate"), optional_rate(model_rate, "model_rate")
    run = None if model is None else open_model(model, sample_rate=model_rate)
    rate = sample_rate or SAMPLE_RATE
    about = _about(run)
    if isinstance(data, Source):
        items = _recordings_of(data, split)
        rate = _own_rate(data, sample_rate)
        about |= {"data": data.name, "split": split, "synthetic": data.synthetic}
    elif folders := _named(data):
        items = recordings(data, rate)
        about |= {"data": ", ".join(map(str, folders)), "synthetic": is_synthetic(folders[-1])}
    else:
        items = _items(data)
        rate = sample_rate or (run.sample_rate if run is not None else SAMPLE_RATE)
    enhanced: Enhance | None = run
    if run is not None and run.sample_rate != rate:
        enhanced = partial(enhance, sample_rate=rate, model=run)
        about["model_rate"] = run.sample_rate
    scores = score(enhanced, items, metrics, rate, workers, progress, align, check_references=True)
    scores.metadata |= about
    _warn(misalignments(scores))
    return scores


def _recordings_of(source: Source, split: str) -> Sequence[Item]:
    splits = {"test": source.test, "valid": source.valid}
    if split not in splits:
        raise InputError("split", repr(split), f"one of {', '.join(splits)}")
    return splits[split]()


def _own_rate(source: Source, asked: int | None) -> int:
    """Return the rate of a source in Hz, which none that is asked for may contradict."""
    if asked not in (None, source.sample_rate):
        raise InputError("sample_rate", f"{asked} Hz for data at {source.sample_rate} Hz", hint="leave it out")
    return source.sample_rate


def _about(model: Model | None) -> dict[str, Any]:
    """Return what scores say of a model: its name, and the metrics on which it, or a model inside it, was trained."""
    if model is None:
        return {"model": NOISY}
    about: dict[str, Any] = {"model": model.name}
    for part in model.parts:
        about |= marks(part.about)
    return about


def _warn(lines: list[str]) -> None:
    """Warn once, whatever the number of processes."""
    if rank() != 0:
        return
    for line in lines:
        warnings.warn(line, stacklevel=1)


def misalignments(scores: Scores) -> list[str]:
    """Describe the references that are late or of another recording, each kind on one line.

    Args:
        scores: of ``score(check_references=True)``.
    """
    metadata, lines = scores.metadata, []
    lags, foreign = metadata["lags"], metadata["foreign"]
    if lags and metadata["align"] != "lag":
        name, lag = max(lags.items(), key=lambda one: abs(one[1]))
        lines.append(
            f"{len(lags)} of {len(scores.rows)} references are late or early beside the estimates, {name} most: "
            f"{describe_reference(lag, metadata['sample_rate'])}; --align lag measures them shifted"
        )
    if foreign:
        lines.append(
            f"{len(foreign)} of {len(scores.rows)} references seem to belong to another recording, {foreign[0]} first: "
            "they do not match the noisy files; check how they are paired"
        )
    return lines


def recordings(folders: Any, sample_rate: int) -> Sequence[Item]:
    """Return the recordings of two folders ``(noisy, clean)``, paired by name, or of one of noisy recordings.

    Each is read, at ``sample_rate`` Hz, when it is used.
    """
    named = _named(folders)
    if len(named) == 2:
        return _folders(*named, sample_rate)
    return _folder(named[0], sample_rate)


def _named(data: object) -> tuple[Any, ...]:
    """Return the one or two folders that ``data`` names; empty where it is something else."""
    if isinstance(data, str | Path):
        return (data,)
    if isinstance(data, tuple | list) and data and all(isinstance(one, str | Path) for one in data):
        return tuple(data)
    return ()


def _items(data: Any) -> Sequence[Item]:
    """Return items as they are; of a list, only the first is looked at, since each is read when it is used.

    Raises:
        InputError: something else.
    """
    if isinstance(data, Sequence) and (not len(data) or isinstance(data[0], Item)):
        return data
    found = f"a {type(data).__name__}" + (f" of {type(data[0]).__name__}" if isinstance(data, Sequence) else "")
    raise InputError("data", found, "a source, its items, or one or two folders")


def _folder(noisy: str | Path, sample_rate: int) -> Sequence[Item]:
    """Return the recordings below a folder, without references, each read when it is used."""
    paths = list_audio(noisy)

    def read(index: int) -> Item:
        path = paths[index]
        audio = read_mono(path, sample_rate)
        return Item(audio, None, len(audio), path.relative_to(noisy).as_posix(), speaker_of(path, noisy))

    return LazySequence(len(paths), read)


def _folders(noisy: str | Path, clean: str | Path, sample_rate: int) -> Sequence[Item]:
    """Return the pairs of two folders, each read when it is used."""
    pairs = pair_files(noisy, clean)

    def read(index: int) -> Item:
        name, noisy_path, clean_path = pairs[index]
        noisy_wave, clean_wave = read_mono(noisy_path, sample_rate), read_mono(clean_path, sample_rate)
        return Item(noisy_wave, clean_wave, len(noisy_wave), name, speaker_of(noisy_path, noisy))

    return LazySequence(len(pairs), read)
