"""What holds for all methods that look at many layers at once: learning, silence, precision, memory, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.encoders import (
    FAMILY,
    NAMES,
    batch,
    encoder,
    every_name,
    every_shape,
    layers,
    made,
    networks,
    taps,
    views,
)
from helpers.taps import anywhere
from sordino.distill.layers.attention import LayerAttention
from sordino.distill.methods import METHODS
from sordino.errors import InputError

# All of them


@every_name
@every_shape
def test_learnt_parts_learn_and_belong_to_the_method(name: str, shapes: str) -> None:
    student, teacher = networks(shapes)
    student = [one.requires_grad_() for one in student]
    method = made(encoder(name), student, teacher)
    loss = method(*views(student, teacher), batch())
    assert loss.shape == ()
    assert loss > 0
    loss.backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in student)
    assert dict(method.named_parameters())
    for learnt, parameter in method.named_parameters():
        assert parameter.grad is not None, learnt
        assert torch.isfinite(parameter.grad).all(), learnt
    assert not any(figure.requires_grad for figure in method.figures().values())


@every_name
@every_shape
@pytest.mark.parametrize("silent", ["student", "teacher", "both"])
def test_silence_is_no_trap(name: str, shapes: str, silent: str) -> None:
    student, teacher = networks(shapes)
    student = [0 * one if silent != "teacher" else one for one in student]
    teacher = [0 * one if silent != "student" else one for one in teacher]
    student = [one.float().requires_grad_() for one in student]
    method = made(encoder(name), student, teacher).float()
    loss = method(*views(student, [one.float() for one in teacher]), batch())
    loss.backward()
    grads = [tensor.grad for tensor in (*student, *method.parameters())]
    assert torch.isfinite(loss)
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


@every_name
def test_mixed_precision_changes_nothing(name: str) -> None:
    student, teacher = ([one.float() for one in side] for side in networks("spectrum"))
    method = made(encoder(name), student, teacher).float()
    shown = views(student, teacher)
    plain = method(*shown, batch())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = method(*shown, batch())
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)


@pytest.mark.parametrize("name", FAMILY)
def test_every_row_of_the_logged_attention_shares_out_one(name: str) -> None:
    student, teacher = networks("spectrum")
    method = made(encoder(name), student, teacher)
    assert not method.figures()
    method(*views(student, teacher), batch())
    table = method.figures()["attention"]
    assert table.shape == (len(method.rows), len(method.columns))
    assert table.sum(dim=1).tolist() == pytest.approx([1] * len(method.rows))
    assert len(set(table.flatten().tolist())) == table.numel()


class Largest(TorchDispatchMode):
    """Remembers how many values the largest tensor has that is made inside."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.values = max(self.values, *(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, Tensor)), 0)
        return made


@every_name
def test_long_features_ask_for_no_more_memory_than_they_have_themselves(name: str) -> None:
    """Layer 1 of a network on four seconds of waveform: a table of all pairs of frames would have 64 million values."""
    student, teacher = layers([(4, 16000), (6, 4000)], 1, 2), layers([(8, 16000), (12, 4000), (16, 1000)], 5, 2)
    student = [one.requires_grad_() for one in student]
    method = made(encoder(name), student, teacher)
    with Largest() as largest:
        method(*views(student, teacher), batch(2)).backward()
    assert 1000 < largest.values <= 2 * max(one.numel() for one in teacher)


@pytest.mark.parametrize("name", ["abc", "afd"])
def test_a_batch_of_one_cannot_be_normalised(name: str) -> None:
    student, teacher = networks("waveform", items=1)
    method = made(encoder(name), student, teacher)
    with pytest.raises(InputError, match=r"train.batch_size: one item.*expected 2 or more"):
        method(*views(student, teacher), batch(1))
    assert torch.isfinite(method.eval()(*views(student, teacher), batch(1)))


@every_name
def test_networks_without_layers_are_refused(name: str) -> None:
    message = "share no encoder" if name == "reviewkd" else "has no encoder to attend to"
    for student, teacher in ((taps(2), {}), ({}, taps(2)), (taps(2), {"decoder.1": anywhere("")})):
        with pytest.raises(InputError, match=message):
            encoder(name).connect(student, teacher)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *((name, {"side": "middle"}) for name in NAMES),
        *((name, {"dim": 0}) for name in FAMILY),
        *((name, {"frames": 0}) for name in ("semckd", "alp", "reviewkd")),
        *(("abc", wrong) for wrong in ({"attention": "rkd"}, {"values": "maps"})),
        ("abc", {"attention": "afd", "values": "projection"}),
        ("afd", {"reduction": "max"}),
        ("semckd", {"hidden": 0}),
        ("reviewkd", {"width": 0}),
    ],
)
def test_nonsense_is_refused(method: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(arguments)):
        METHODS[method](**arguments)


def test_the_family_is_one() -> None:
    assert all(issubclass(METHODS[name], LayerAttention) for name in FAMILY)
    assert not any(METHODS[name].zero_when_equal or METHODS[name].needs_clean for name in NAMES)


def test_abc_with_the_attention_of_semckd_compares_items_as_semckd_does() -> None:
    for attention in ("abc", "afd", "semckd", "alp"):
        assert METHODS["abc"](attention=attention).across_items == (attention == "semckd")
