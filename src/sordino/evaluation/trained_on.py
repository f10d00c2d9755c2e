"""The note below tables for networks that were trained on a metric which the table shows.

A network trained on a differentiable PESQ has a higher PESQ than its quality deserves, and the same holds for other
metrics. Training writes into the header of the checkpoint whether that is so; ONNX files and scores take it over; and
every table with such a network gets a sentence about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

METRICS = {"perceptual": "PESQ", "stoi": "STOI", "llr": "LLR"}
"""Loss -> the metric that it computes. If a network was trained on the loss, its header and its scores hold
``{loss: True}``."""
RAISED = {"perceptual": ("PESQ",), "stoi": ("STOI",), "llr": ("CSIG", "COVL")}
"""Loss -> the columns of a table that it raises above what the network deserves."""
BESIDE = {"PESQ": "perceptual", "ESTOI": "stoi", "SI-SDR": "", "DNSMOS": ""}
"""Metric to compare as well -> the loss that rules it out: after training on STOI, ESTOI is no independent measure."""

Losses = tuple[str, ...]
"""Names of losses in the order of ``METRICS``."""


def notes(trained: Iterable[tuple[str, Losses]]) -> list[str]:
    """Return the notes on models, given by name and losses that are metrics: one note for each set of losses."""
    groups: dict[Losses, list[str]] = {}
    for name, losses in trained:
        if losses and name not in groups.setdefault(losses, []):
            groups[losses].append(name)
    sentences = []
    for losses, names in groups.items():
        metrics = _listed([METRICS[loss] for loss in losses])
        columns = _listed(list(chain.from_iterable(RAISED[loss] for loss in losses)))
        beside = _listed([metric for metric, loss in BESIDE.items() if loss not in losses])
        listed = ", ".join(names)
        how = f"trained on a differentiable {metrics}, or taught by a network that was"
        verb = "are" if " and " in columns else "is"
        whose, sounds = ("its", "it sounds") if len(names) == 1 else ("their", "they sound")
        raised = f"{whose} {columns} {verb} higher than {sounds}"
        sentences.append(f"{listed}: {how}; {raised}: compare {beside} as well.")
    return sentences


def card_notes(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the notes on shipped models, by name and card."""
    return notes((name, trained_on({"about": card["training"]})) for name, card in cards.items())


def trained_on(metadata: Mapping[str, Any]) -> Losses:
    """Return the losses of a model's training that are metrics.

    Args:
        metadata: of an ONNX file or a checkpoint's header. Facts about the training are in ``about``, in an ONNX file
            as JSON. A file without them was not trained with this package, and nothing is known of it.
    """
    about = metadata.get("about", {})
    try:
        about = json.loads(about) if isinstance(about, str) else about
        return ordered([*marked(about), *recipe_trains_on(about.get("recipe") or {})])
    except (AttributeError, RecursionError, TypeError, ValueError):  # of another shape
        return ()


def marks(metadata: Mapping[str, Any]) -> dict[str, bool]:
    """Return the entries in a model's scores for the metrics on which it was trained; empty where there is none."""
    return dict.fromkeys(trained_on(metadata), True)


def marked(entries: Mapping[str, Any]) -> Losses:
    """Return the losses whose entries in a header or in the metadata of scores are true."""
    return ordered(loss for loss in METRICS if entries.get(loss))


def ordered(losses: Iterable[str]) -> Losses:
    """Return each of the losses once, in the order of ``METRICS``."""
    found = set(losses)
    return tuple(loss for loss in METRICS if loss in found)


def recipe_trains_on(recipe: Mapping[str, Any]) -> Losses:
    """Return the losses that are metrics and weigh anything in a recipe, by themselves or inside of a method.

    Args:
        recipe: as headers and cards store it, of whatever version.
    """
    # Keys and not a typed recipe: a header may hold one that today's checks refuse, and nothing here may refuse a file.
    terms = {loss: [] for loss in METRICS}
    for name, arguments in (recipe.get("loss") or {}).items():
        if name in METRICS and arguments is not None:
            terms[name].append(f"loss/{name}")
    for name, arguments in (recipe.get("distill") or {}).items():
        used = (arguments or {}).get("loss")  # a name, or several with their weights
        for loss in METRICS:
            if used == loss or (isinstance(used, Mapping) and used.get(loss)):
                terms[loss].append(f"kd/{name}")
    whole = recipe.get("weights") or {}
    counted = []
    for stage in recipe.get("stages") or [{}]:
        weights = whole | (stage.get("weights") or {})
        for loss, names in terms.items():
            # A term counts if it has a weight in any stage; one that no weight names has the weight 1.
            if any(weights.get(name, 1.0) != 0 for name in names):
                counted.append(loss)
    return ordered(counted)


def _listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
