"""The note below tables for networks that were trained on PESQ.

A network trained on a differentiable PESQ has a higher PESQ than its quality deserves. Training writes into the header
of the checkpoint whether that is so; ONNX files and scores take it over; and every table with the PESQ of such a
network gets a sentence about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

PERCEPTUAL = "perceptual"
"""Name of the loss; also the key of headers and scores that is true where it was part of the training."""


def perceptual_notes(names: Iterable[str]) -> list[str]:
    """Return the note on the named models of a table, which were trained on PESQ; none for no names."""
    listed = ", ".join(dict.fromkeys(names))
    if not listed:
        return []
    return [f"{listed}: trained on a differentiable PESQ; read ESTOI, SI-SDR and DNSMOS beside its PESQ."]


def card_notes(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the note on those shipped models that were trained on PESQ, by name and card."""
    return perceptual_notes(name for name, card in cards.items() if pesq_trained({"about": card["training"]}))


def pesq_trained(metadata: Mapping[str, Any]) -> bool:
    """Whether a model's metadata says that PESQ was among its losses.

    Args:
        metadata: of an ONNX file or a checkpoint's header. Facts about the training are in ``about``, in an ONNX file
            as JSON. A file without them was not trained with this package, and nothing is known of it.
    """
    about = metadata.get("about", {})
    try:
        about = json.loads(about) if isinstance(about, str) else about
        return bool(about.get(PERCEPTUAL)) or trains_on_pesq(about.get("recipe") or {})
    except (AttributeError, RecursionError, TypeError, ValueError):  # of another shape
        return False


def marks(metadata: Mapping[str, Any]) -> dict[str, bool]:
    """Return the entry in a model's scores for training on PESQ; empty where there was none."""
    return {PERCEPTUAL: True} if pesq_trained(metadata) else {}


def trains_on_pesq(recipe: Mapping[str, Any]) -> bool:
    """Whether the loss ``perceptual`` weighs anything in a recipe, by itself or inside of a method.

    Args:
        recipe: as headers and cards store it, of whatever version.
    """
    # Keys and not a typed recipe: a header may hold one that today's checks refuse, and nothing here may refuse a file.
    terms = [f"loss/{name}" for name, arguments in (recipe.get("loss") or {}).items() if arguments is not None]
    terms = [term for term in terms if term == f"loss/{PERCEPTUAL}"]
    for name, arguments in (recipe.get("distill") or {}).items():
        loss = (arguments or {}).get("loss")  # a name, or several with their weights
        if loss == PERCEPTUAL or (isinstance(loss, Mapping) and loss.get(PERCEPTUAL)):
            terms.append(f"kd/{name}")
    whole = recipe.get("weights") or {}
    stages = [whole | (stage.get("weights") or {}) for stage in recipe.get("stages") or [{}]]
    return any(stage.get(term, 1.0) != 0 for term in terms for stage in stages)
