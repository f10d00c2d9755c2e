"""The dual-path network: its claims, its stream, and that level means nothing to it."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.noise import noise
from sordino import models
from sordino.conformance.networks import streamed
from sordino.distill.teachers import observe
from sordino.evaluation.cost import macs_per_second
from sordino.models.dualpath import LEVEL_S, DualPathNetwork, Level
from sordino.models.layers.bands import Bands
from sordino.models.layers.framing import StreamingStft
from sordino.models.layers.onnx_ops import Gru

SMALL: dict[str, Any] = {"width": 4, "blocks": 1, "bands": 41, "window": 256, "hop": 128}
FRAMES = [(320, 160), (512, 256), (512, 128), (96, 32)]


def network(**arguments: int) -> DualPathNetwork:
    """A network in eval mode whose norms hold statistics and whose mask is far from one."""
    torch.manual_seed(0)
    made = DualPathNetwork(**arguments).train()
    with torch.no_grad():
        made.decoder[-1].conv.weight.mul_(30)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        made(noise(2, 8000, seed=1))
    return made.eval()


@pytest.mark.parametrize(
    ("arguments", "parameters", "mmacs"),
    [({}, 27_148, 40.1), ({"width": 32}, 45_412, 67.4), ({"blocks": 3}, 37_084, 52.6), ({"hop": 128}, 27_148, 80.3)],
)
def test_size_and_cost_are_those_claimed(arguments: dict[str, int], parameters: int, mmacs: float) -> None:
    made = DualPathNetwork(**arguments)
    assert models.count_parameters(made) == parameters
    assert macs_per_second(made) / 1e6 == pytest.approx(mmacs, rel=0.01)


@pytest.mark.parametrize("arguments", [{}, SMALL, SMALL | {"hop": 64}, {"width": 6, "window": 320, "hop": 160}])
@pytest.mark.parametrize("length", [1, 255, 256, 4001])
def test_block_by_block_it_gives_what_it_gives_as_a_whole(arguments: dict[str, int], length: int) -> None:
    made, noisy = network(**arguments), noise(2, length, seed=1)
    with torch.no_grad():
        whole = made(noisy)
        assert whole.shape == noisy.shape
        for hops in (1, 3):
            assert torch.allclose(streamed(made, noisy, hops), whole, atol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"hop": 128}, {"window": 320, "hop": 160}])
def test_nothing_depends_on_what_lies_further_ahead_than_the_latency(arguments: dict[str, int]) -> None:
    made, noisy = network(**arguments), noise(1, 6400, seed=1).requires_grad_()
    assert made.latency == made.arguments["window"]
    estimate = made(noisy)
    for place in (0, 1, 255, 256, 1000, 3000):
        (gradient,) = torch.autograd.grad(estimate[0, place], noisy, retain_graph=True)
        reached = gradient[0].nonzero().max().item()
        assert place < reached < place + made.latency


def test_the_past_reaches_far() -> None:
    made, noisy = network(), noise(1, 9600, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(made(noisy)[0, 9000], noisy)
    assert gradient[0, :1600].abs().max() > 0


def test_a_fresh_network_is_the_right_way_up() -> None:
    for seed in range(8):
        torch.manual_seed(seed)
        noisy = noise(2, 8000, seed=seed)
        estimate = DualPathNetwork()(noisy)
        assert F.cosine_similarity(estimate, noisy, dim=-1).min() > 0.9


def test_a_mask_of_one_gives_the_input_back() -> None:
    made, noisy = network(), noise(2, 3333, seed=1)
    last = made.decoder[-1].conv
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        assert torch.allclose(made(noisy), noisy, atol=1e-6)


@pytest.mark.parametrize("gain_db", [-60, -40, 20])
def test_level_means_nothing(gain_db: float) -> None:
    gain, noisy = 10 ** (gain_db / 20), noise(2, 12000, seed=1)
    made = network()
    with torch.no_grad():
        loud, other = made(noisy), made(gain * noisy) / gain
    assert not torch.allclose(loud, noisy, atol=0.05)
    assert torch.allclose(other, loud, atol=1e-4)


def test_a_stream_that_turns_quiet_is_treated_as_before_once_the_level_is_forgotten() -> None:
    made, part = network(), noise(1, 16000, seed=1)
    frames = round(LEVEL_S * made.sample_rate)
    steady = torch.cat([part, part, part, part, part], dim=-1)
    turned = torch.cat([part, part, 0.01 * part, 0.01 * part, 0.01 * part], dim=-1)
    with torch.no_grad():
        as_before, quiet = made(steady)[0], 100 * made(turned)[0]
    at = 2 * 16000
    early = (quiet - as_before)[at + 512 : at + 4000].square().mean()
    late = (quiet - as_before)[at + frames + 8000 :].square().mean()
    assert late < 0.05 * early


def test_silence_stays_silent_and_leaves_the_level_alone() -> None:
    made = network()
    with torch.no_grad():
        assert not made(torch.zeros(1, 4000)).any()
        alone, behind = made(noise(1, 8000, seed=1)), made(F.pad(noise(1, 8000, seed=1), (5120, 0)))
    assert not behind[:, :4600].any()
    # The recurrent layers have run meanwhile, so that the two are alike and not equal.
    assert F.cosine_similarity(behind[:, 5120:], alone, dim=-1) > 0.9


def test_the_level_is_the_mean_of_the_frames_that_held_sound() -> None:
    level = Level(3)
    magnitude = torch.tensor([0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 6.0]).view(1, 1, -1, 1).expand(1, 1, 7, 5)
    found, memory = level(magnitude, torch.zeros(1, 2, 2))
    assert found.flatten().tolist() == pytest.approx([0.01, 2, 3, 3, 4, 0.01, 6])
    assert memory.tolist() == [[[0, 6], [0, 1]]]


def test_taps_are_every_layer_and_the_latent() -> None:
    made = network(width=6, blocks=2, bands=97)
    view = observe(made, noise(2, 2560, seed=1), made.taps)
    bands = {"encoder.1": 49, "encoder.2": 25, "latent": 25, "decoder.2": 49}
    expected = {name: (2, 6, 11, count) for name, count in bands.items()} | {"decoder.1": (2, 2, 11, 97)}
    assert {name: tuple(one.shape) for name, one in view.feats.items()} == expected


@pytest.mark.parametrize(("window", "hop"), FRAMES)
@pytest.mark.parametrize("blocks", [[7], [1, 1, 2, 3]])
def test_frames_put_together_are_the_signal_late_by_the_delay(window: int, hop: int, blocks: list[int]) -> None:
    stft, signal = StreamingStft(window, hop), noise(2, 7 * hop, seed=1)
    past, tail, parts = stft.memory(2), stft.memory(2), []
    for block in signal.split([hop * count for count in blocks], dim=-1):
        spectrum, past = stft.analyse(block, past)
        assert spectrum.shape == (2, 2, block.shape[-1] // hop, window // 2 + 1)
        done, tail = stft.synthesise(spectrum, tail)
        parts.append(done)
    found = torch.cat(parts, dim=-1)
    assert torch.allclose(found, F.pad(signal, (stft.delay, 0))[:, : signal.shape[-1]], atol=1e-6)


@pytest.mark.parametrize(("window", "hop"), FRAMES)
def test_the_centre_is_where_a_frame_weighs_most(window: int, hop: int) -> None:
    stft = StreamingStft(window, hop)
    places = [math.ceil(stft.centre) + frame * hop for frame in range(8)]
    frame = next(number for number, place in enumerate(places) if place > 0)
    impulse = F.one_hot(torch.tensor([places[frame]]), 8 * hop).float()
    spectrum, _ = stft.analyse(impulse, stft.memory(1))
    energy = spectrum.square().sum(dim=(0, 1, 3))
    assert int(energy.argmax()) == frame


@pytest.mark.parametrize(("bins", "bands"), [(257, 97), (257, 129), (161, 97), (129, 41)])
def test_bands_keep_low_bins_and_constants(bins: int, bands: int) -> None:
    made = Bands(bins, bands, 16000)
    assert made.kept == (bins - 1) // 4
    spectrum = noise(2, bins, seed=1)
    merged = made.merge(spectrum)
    assert merged.shape == (2, bands)
    assert torch.equal(merged[:, : made.kept], spectrum[:, : made.kept])
    assert torch.allclose(made.merge(torch.ones(bins)), torch.ones(bands), atol=1e-6)
    assert torch.allclose(made.split(torch.ones(bands)), torch.ones(bins), atol=1e-6)
    # Above, centres lie evenly on the scale of Glasberg and Moore, as nearly as whole bins allow.
    peaks = made.split(torch.eye(bands)).argmax(dim=-1)[made.kept :]
    wanted = torch.linspace(*(21.4 * math.log10(1 + 4.37 * khz) for khz in (2, 8)), bands - made.kept)
    error = (10 ** (wanted / 21.4) - 1) / 0.00437 * (bins - 1) / 8000 - peaks
    assert error.abs().max() < 1


def test_a_network_that_grows_computes_what_it_did_and_learns_in_every_part() -> None:
    grown = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "grow.py"))["grown"]
    small, wave = network(**SMALL), noise(2, 4000, seed=4)
    larger = grown(small, 3)
    assert larger.arguments == {**small.arguments, "blocks": 3}
    assert torch.equal(larger(wave), small(wave))
    optimizer = torch.optim.SGD(larger.parameters(), lr=0.1)
    for _ in range(2):  # a layer behind norms of 0 has a gradient from the second step on
        optimizer.zero_grad()
        larger(wave).square().mean().backward()
        optimizer.step()
    idle = [name for name, one in larger.named_parameters() if one.grad is None or not one.grad.any()]
    assert [name for name in idle if name.startswith("blocks")] == []
    with pytest.raises(ValueError, match="fewer than 3 blocks"):
        grown(larger, 3)


def test_recurrent_layers_are_those_that_export_as_operators() -> None:
    recurrent = [module for module in network().modules() if isinstance(module, nn.RNNBase)]
    assert len(recurrent) == 4
    assert all(isinstance(module, Gru) for module in recurrent)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"width": 7}, "width"),
        ({"width": 0}, "width"),
        ({"blocks": 0}, "blocks"),
        ({"bands": 96}, "bands"),
        ({"bands": 61}, "merged into 61 bands"),
        ({"bands": 201}, "merged into 201 bands"),
        ({"window": 512, "hop": 200}, "multiple of hop"),
        ({"window": 256, "hop": 256}, "multiple of hop"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DualPathNetwork(**arguments)
