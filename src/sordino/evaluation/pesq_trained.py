"""What a model was trained on, as far as it bears on its figures: PESQ of a network that was trained on PESQ.

A network trained on a differentiable PESQ scores more PESQ than it sounds. Whether one was is written into the header
of its checkpoint when it is trained, travels with it into ONNX files and scores, and is said in one sentence below
every table that shows its PESQ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sordino.inference.resolve import resolve

PERCEPTUAL = "perceptual"
"""The loss, and the key of a header or of scores that is true where it played a part."""


def perceptual_notes(names: Iterable[str]) -> list[str]:
    """The sentence for the models of a table, by their names, that were trained on PESQ; none where there are none."""
    listed = ", ".join(dict.fromkeys(names))
    if not listed:
        return []
    return [f"{listed}: trained on a differentiable PESQ; read ESTOI, SI-SDR and DNSMOS beside its PESQ."]


def card_notes(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The same for students that ship, by their cards."""
    return perceptual_notes(name for name, card in cards.items() if pesq_trained({"about": card["training"]}))


def pesq_trained(metadata: Mapping[str, Any]) -> bool:
    """Whether a model says of itself that PESQ was among its losses.

    Args:
        metadata: of an ONNX file or of a checkpoint's header; what they know of the training stands in ``about``, as
            JSON in the former. A file that says nothing was not trained here, and nothing is known of it.
    """
    about = metadata.get("about", {})
    try:
        about = json.loads(about) if isinstance(about, str) else about
    except json.JSONDecodeError:
        return False
    if not isinstance(about, Mapping):
        return False
    return bool(about.get(PERCEPTUAL)) or trains_on_pesq(about.get("recipe") or {})


def marks(metadata: Mapping[str, Any]) -> dict[str, bool]:
    """What the scores of a model with this metadata say of its training; nothing where there is nothing to say."""
    return {PERCEPTUAL: True} if pesq_trained(metadata) else {}


def trains_on_pesq(recipe: Mapping[str, Any]) -> bool:
    """Whether the loss ``perceptual`` weighs anything in a recipe, by itself or inside of a method."""
    terms = [f"loss/{name}" for name, arguments in (recipe.get("loss") or {}).items() if arguments is not None]
    terms = [term for term in terms if term == f"loss/{PERCEPTUAL}"]
    for name, arguments in (recipe.get("distill") or {}).items():
        if (arguments or {}).get("loss") == PERCEPTUAL:
            terms.append(f"kd/{name}")
    whole = recipe.get("weights") or {}
    stages = [whole | (stage.get("weights") or {}) for stage in recipe.get("stages") or [{}]]
    return any(stage.get(term, 1.0) != 0 for term in terms for stage in stages)


def inherits_pesq(recipe: Mapping[str, Any]) -> bool:
    """Whether a network trained by this recipe is trained on PESQ: by its losses, by the checkpoint that it goes on
    from, or by a teacher that was.
    """
    from sordino.models import read_about

    if trains_on_pesq(recipe):
        return True
    teacher = recipe.get("teacher") or {}
    origins = [(recipe.get("model") or {}).get("checkpoint"), teacher.get("checkpoint"), teacher.get("estimate")]
    for source in (resolve(origin, otherwise="checkpoint") for origin in origins if origin):
        if source.kind not in ("shipped", "checkpoint") or not source.checkpoint.is_file():
            continue
        if pesq_trained({"about": read_about(source.checkpoint)}):
            return True
    return False
