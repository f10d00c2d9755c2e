"""Which way up a run begins: a network that random weights have put upside down is turned over, and nothing else is."""

from __future__ import annotations

import copy

import pytest
import torch
from small import SMALL, noise

from sotto import models
from sotto.models import MODELS, Enhancer
from sotto.train.polarity import set_upright


def born(name: str, seed: int) -> Enhancer:
    torch.manual_seed(seed)
    return models.create(name, **SMALL.get(name, {}))


@pytest.mark.parametrize("name", MODELS)
def test_every_run_begins_upright(name: str) -> None:
    noisy, turned = noise(2, 4000), 0
    for seed in range(8):
        network = born(name, seed)
        # Of a batch in training mode, so that the statistics are those of the first step.
        before = copy.deepcopy(network)(noisy)
        statistics = {key: value.clone() for key, value in network.named_buffers()}
        set_upright(network, noisy)
        assert all(torch.equal(value, statistics[key]) for key, value in network.named_buffers())
        after = copy.deepcopy(network)(noisy)
        assert (after * noisy).sum() > 0
        upside_down = (before * noisy).sum() < 0
        turned += int(upside_down)
        torch.testing.assert_close(after, -before if upside_down else before)
    # The mask of a fresh dual-path network is about one, whatever the seed.
    assert turned == 0 if name == "dualpath" else 0 < turned < 8, "the seeds no longer show both cases"


def test_a_network_without_a_last_layer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = born("manner-s", 0)
    monkeypatch.setattr(network, "last", None)
    weights = copy.deepcopy(network.state_dict())
    for wave in (noise(2, 4000), -noise(2, 4000)):
        set_upright(network, wave)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
