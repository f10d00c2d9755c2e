"""Frames by position: where the networks' taps lie, and what methods make of features of unlike lengths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.noise import noise
from helpers.positions import NETWORKS, every_network, network
from sordino.distill.layers.positions import common_frames, match
from sordino.distill.layers.resize import resample_time
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.models.layers import strided
from sordino.types import Tap

FRAMES = {"unet": (320, ""), "dualpath": (512, ""), "tstnn": (128, "encoder")}
"""Networks that compute frames: the samples of a window, and the taps that see no later frame, as their names begin."""

# What networks declare


@every_network
def test_strides_are_those_of_the_network(name: str) -> None:
    """So many samples more bring so many frames more; 2,048 and 5 x 2,048 are whole frames of every network here."""
    one, more = network(name), 10240
    with torch.no_grad():
        short, long = (observe(one, noise(1, 5000 + extra), one.taps) for extra in (0, more))
    for tap, place in one.taps.items():
        frames = long.feats[tap].shape[2] - short.feats[tap].shape[2]
        assert frames * place.stride == more, tap


@pytest.mark.parametrize(("kernel", "stride", "rate"), [(8, 4, 1), (8, 2, 1), (8, 4, 4), (3, 1, 1), (5, 3, 2)])
def test_frames_behind_strided_convolutions_lie_at_the_middle_of_what_they_hear(
    kernel: int, stride: int, rate: int
) -> None:
    wave = torch.zeros(1, 1, 400, requires_grad=True)
    ones, x = torch.ones(1, 1, kernel), wave
    for layers in range(1, 4):
        x = F.conv1d(x, ones, stride=stride)
        place = strided.frames_behind(layers, kernel, stride, rate)
        (gradient,) = torch.autograd.grad(x[0, 0, 2], wave, retain_graph=True)
        centre = gradient[0, 0].nonzero().double().mean().item() / rate
        assert centre == pytest.approx(place["offset"] + 2 * place["stride"])
        # A transposed convolution answers around the middle of the frames of the layer before.
        up = F.conv_transpose1d(F.one_hot(torch.tensor([[[2]]]), x.shape[-1])[0].float(), ones, stride=stride)
        before = strided.frames_behind(layers - 1, kernel, stride, rate)
        middle = up[0, 0].nonzero().double().mean().item()
        assert before["offset"] + middle * before["stride"] == pytest.approx(place["offset"] + 2 * place["stride"])
    assert strided.frames_behind(0, kernel, stride, rate) == {"stride": 1 / rate, "offset": 0}


def changes(one: Enhancer, clicks: range) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """How much a click at each sample changes the frames at each tap, [N]."""
    base = 0.1 * noise(1, 6000)
    with torch.no_grad():
        still = observe(one, base, one.taps)
        for click in clicks:
            moved = base.clone()
            moved[0, click] += 0.3
            view = observe(one, moved, one.taps)
            squares = {tap: (view.feats[tap] - still.feats[tap]).square() for tap in one.taps}
            yield click, {tap: square.transpose(0, 2).flatten(1).sum(1) for tap, square in squares.items()}


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in FRAMES])
def test_a_click_moves_the_frames_around_it(name: str) -> None:
    """By the mean over clicks in all places of a frame; global attention alone carries a click anywhere."""
    one = network(name)
    coarse = max(place.stride for place in one.taps.values())
    errors: dict[str, list[float]] = {tap: [] for tap in one.taps if not tap.endswith("global") and tap != "latent"}
    for click, changed in changes(one, range(2000, 2512, 32)):
        for tap in errors:
            place, change = one.taps[tap], changed[tap]
            near = torch.arange(max(0, int(change.argmax()) - 2), min(len(change), int(change.argmax()) + 3))
            centre = (change[near] * near).sum() / change[near].sum()
            errors[tap].append(place.offset + centre.item() * place.stride - click)
    for tap, found in errors.items():
        # What a decoder shows has been through the deepest layer.
        allowed = 1.5 * one.taps[tap].stride if tap.startswith("encoder") else coarse
        assert abs(sum(found) / len(found)) < allowed, tap


@pytest.mark.parametrize("name", FRAMES)
def test_the_first_frame_that_a_click_moves_is_the_first_whose_window_holds_it(name: str) -> None:
    one, (window, causal) = network(name), FRAMES[name]
    for click, changed in changes(one, range(2007, 2500, 41)):
        for tap, place in one.taps.items():
            if tap.startswith(causal):
                first = int((changed[tap] > 1e-9 * changed[tap].max()).nonzero()[0])
                end = place.offset + first * place.stride + window / 2
                assert end - place.stride < click + 0.5 <= end, tap


# Cropping


def tap(stride: float, offset: float) -> Tap:
    return Tap("", stride=stride, offset=offset)


@pytest.mark.parametrize(
    ("lengths", "taps", "kept"),
    [
        ((999, 1000), (tap(64, 73.5), tap(64, 73.5)), [(0, 999), (0, 999)]),
        # Frames of 64 from 41.5 on, and frames of 256 from 169.5 on: two of the first come before the other's first.
        ((20, 4), (tap(64, 73.5), tap(256, 297.5)), [(2, 18), (0, 4)]),
        ((17, 4), (tap(64, 73.5), tap(256, 297.5)), [(2, 14), (0, 3)]),
        # The same stride, half a frame and a frame and a bit apart.
        ((10, 10), (tap(4, 1.5), tap(4, 6.5)), [(1, 10), (0, 9)]),
        # Windows of 320 samples beside frames of 4: the first window begins before the signal.
        ((10, 400), (tap(160, -0.5), tap(4, 3.5)), [(1, 10), (20, 380)]),
        ((3, 12), (tap(4, 1.5), tap(1, 0)), [(0, 3), (0, 12)]),
    ],
)
def test_the_common_span_by_hand(lengths: tuple[int, int], taps: tuple[Tap, Tap], kept: list[tuple[int, int]]) -> None:
    assert [(frames.start, frames.stop) for frames in common_frames(lengths, taps)] == kept
    assert [(f.start, f.stop) for f in common_frames(lengths[::-1], taps[::-1])] == kept[::-1]


@pytest.mark.parametrize(("here", "there"), list(itertools.combinations(NETWORKS, 2)))
def test_frames_of_any_two_networks_meet_within_half_a_frame(here: str, there: str) -> None:
    with torch.no_grad():
        shown = [observe(one, noise(1, 8000), one.taps) for one in (network(here), network(there))]
    for tap_here, place in network(here).taps.items():
        for tap_there, other in network(there).taps.items():
            features = shown[0].feats[tap_here], shown[1].feats[tap_there]
            frames = common_frames([one.shape[2] for one in features], (place, other))
            edges = [
                (p.offset + (f.start - 0.5) * p.stride, p.offset + (f.stop - 0.5) * p.stride)
                for p, f in zip((place, other), frames, strict=True)
            ]
            finer = min(place.stride, other.stride)
            assert abs(edges[0][0] - edges[1][0]) <= finer / 2
            assert abs(edges[0][1] - edges[1][1]) <= finer
            assert edges[0][1] - edges[0][0] > 8000 - 3 * max(place.stride, other.stride) - 300
            one, two = match(features, (place, other))
            assert place.stride != other.stride or one.shape[2] == two.shape[2]


def test_a_ramp_seen_at_two_strides_is_the_same_ramp() -> None:
    """Values that are each frame's position: interpolated or averaged, they stay where they were."""
    fine, coarse = tap(64, 73.5), tap(256, 297.5)
    student, teacher = ((p.offset + p.stride * torch.arange(n)).view(1, 1, n) for p, n in ((fine, 37), (coarse, 9)))
    student, teacher = match((student, teacher), (fine, coarse))
    assert torch.allclose(resample_time(student, teacher.shape[-1]), teacher)
    inner = slice(2, -2)  # before the first frame's centre and behind the last there is nothing between which to go
    assert torch.allclose(resample_time(teacher, student.shape[-1])[..., inner], student[..., inner])


def test_features_without_a_common_frame_are_refused() -> None:
    with pytest.raises(InputError, match=r"features of 3, 9 frames.*take longer segments"):
        common_frames((3, 9), (tap(4, 3.5), tap(64, 73.5)))
