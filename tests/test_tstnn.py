"""TSTNN: its claims against figures from outside, its frames, and what follows from the norm that it begins with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers import reference
from helpers.largest import Largest
from helpers.noise import noise
from sordino import models
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.evaluation.cost import macs_per_second, paper_flops
from sordino.models.tstnn import Tstnn, frames, overlap_mean

FIGURES = json.loads((Path(__file__).parent / "data" / "tstnn.json").read_text())


def small(**changes: int) -> Tstnn:
    torch.manual_seed(0)
    return Tstnn(**{"channels": 8, "blocks": 2, "heads": 2, "frame": 64, **changes}).eval()


# Claims


def test_size_and_cost_are_those_claimed() -> None:
    network = models.create("tstnn")
    assert models.count_parameters(network) == 924_771
    assert paper_flops(network) / 1e9 == pytest.approx(145.3, rel=1e-3)
    # The products of 249 frames, by hand.
    wide, narrow = 249 * 512, 249 * 256
    dense = 6 * 64 * 64 * (1 + 2 + 3 + 4)
    convolutions = 2 * 64 * wide + dense * (wide + narrow) + (3 + 6 + 3) * 64 * 64 * narrow + 2 * 64 * 32 * narrow
    layer = 4 * 32 * 32 + 2 * 3 * 64 * (32 + 64) + 128 * 32
    transformers = narrow * 4 * (2 * layer + 2 * 32 * (256 + 249))
    products = convolutions + transformers
    assert 2 * products / 1e9 == pytest.approx(163.3, rel=1e-3)
    every_operation = 4 * macs_per_second(network, 4.0)
    assert 2 * every_operation / 1e9 == pytest.approx(166.6, rel=1e-3)
    assert products < every_operation < 1.03 * products


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_published_weights_give_the_published_output(wrapper: str | None, tmp_path: Path) -> None:
    state = reference.state(FIGURES["keys"])
    torch.save(state if wrapper is None else {"epoch": 3, wrapper: state}, tmp_path / "published.pth")
    network = models.load(tmp_path / "published.pth")
    assert (network.name, network.arguments) == ("tstnn", models.create("tstnn").arguments)
    if wrapper is not None:
        torch.save(state, tmp_path / "plain.pth")
        plain = models.load(tmp_path / "plain.pth").state_dict()
        assert all(torch.equal(weight, plain[name]) for name, weight in network.state_dict().items())
        return
    with torch.no_grad():
        estimate = network(reference.waves())
        whole = network(torch.nn.functional.pad(reference.waves(), (0, 128)))  # 62 frames, as published
    assert list(whole.unsqueeze(1).shape) == FIGURES["output_shape"]
    assert torch.allclose(whole[:, FIGURES["output_index"]], torch.tensor(FIGURES["output"]), rtol=0, atol=2e-5)
    assert whole.square().mean(-1).sqrt().tolist() == pytest.approx(FIGURES["output_rms"], abs=1e-5)
    assert torch.equal(estimate, whole[:, :16000])


def test_a_published_tensor_of_an_unknown_name_is_reported(tmp_path: Path) -> None:
    state = reference.state(FIGURES["keys"])
    torch.save({**state, "dual_transformer.row_trans.0.conv.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(InputError, match="unknown name, 'dual_transformer"):
        models.load(tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    "wrong", [{"channels": 0}, {"channels": 7}, {"blocks": 0}, {"heads": 3}, {"frame": 0}, {"frame": 63}]
)
def test_arguments_that_make_no_network_are_reported(wrong: dict[str, int]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"model tstnn: no TSTNN with .*{name}={value}"):
        models.create("tstnn", **{"channels": 8, "heads": 2, **wrong})


# Frames


@pytest.mark.parametrize("length", [1, 31, 32, 33, 63, 64, 65, 96, 97, 128, 1000])
def test_the_last_frame_is_filled_up(length: int) -> None:
    network, noisy = small(), noise(2, length, seed=1)
    count = 1
    while (count - 1) * 32 + 64 < length:
        count += 1
    view = observe(network, noisy, network.taps)
    shapes = {"encoder.1": (8, 64), "encoder.2": (8, 32), "decoder.2": (8, 32), "decoder.1": (8, 64)}
    shapes |= dict.fromkeys(("transformer.1", "transformer.2", "latent"), (4, 32))
    for tap, (channels, size) in shapes.items():
        assert view.feats[tap].shape == (2, channels, count, size), tap
    assert torch.equal(view.feats["latent"], view.feats["transformer.2"])
    filled = torch.nn.functional.pad(noisy, (0, (count + 1) * 32 - length))
    with torch.no_grad():
        assert torch.equal(network(filled)[:, :length], view.wave)


def test_four_seconds_are_249_frames_without_filling() -> None:
    for length, count in ((64000 - 255, 249), (64000, 249), (64001, 250)):
        assert frames(torch.empty(1, length), 512).shape == (1, count, 512)


@pytest.mark.parametrize("length", [1, 5, 8, 9, 12, 13, 100])
def test_frames_and_their_mean_are_those_of_a_loop(length: int) -> None:
    wave, gain = noise(2, length, seed=1), noise(8, seed=2)
    cut = frames(wave, 8)
    whole = (cut.shape[1] + 1) * 4
    filled = torch.nn.functional.pad(wave, (0, whole - length))
    total, count = torch.zeros(2, whole), torch.zeros(whole)
    for number, start in enumerate(range(0, whole - 4, 4)):
        assert torch.equal(cut[:, number], filled[:, start : start + 8])
        total[:, start : start + 8] += filled[:, start : start + 8] * gain
        count[start : start + 8] += 1
    assert torch.allclose(overlap_mean(cut * gain), total / count, atol=1e-7)


# What follows from how it is built


def test_nothing_but_the_epsilon_of_the_first_norm_tells_loud_from_faint() -> None:
    network, noisy = small(), noise(1, 640, seed=1)
    norm = network.embed[1]
    assert isinstance(norm, torch.nn.LayerNorm)
    with torch.no_grad():
        assert not torch.allclose(network(8 * noisy), network(noisy), atol=1e-3)
        norm.eps = 0.0
        assert torch.allclose(network(8 * noisy), network(noisy), atol=1e-4)


def test_attention_never_holds_the_weights_of_all_frames() -> None:
    network = small(frame=8, heads=1, channels=4, blocks=1)
    with torch.no_grad(), Largest() as largest:
        network(noise(1, 4 * 2001, seed=1))
    assert largest.numel < 2000**2 / 4
