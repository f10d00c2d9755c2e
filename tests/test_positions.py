"""Frames by position: where the networks' taps lie, and what methods make of features of unlike lengths."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.noise import noise
from sordino import models
from sordino.audio import sound_files
from sordino.distill.base import Method
from sordino.distill.layers.positions import common_frames, match
from sordino.distill.layers.resize import resample_time
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import attention_distance
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.models.layers import strided
from sordino.types import Batch, Tap, View

NETWORKS: dict[str, dict[str, Any]] = {
    "manner-b": {"hidden": 6, "depth": 4},
    "manner-s": {"hidden": 6, "depth": 3},
    "demucs": {"hidden": 4, "depth": 4},
    "demucs of stride 2": {"hidden": 4, "depth": 4, "stride": 2, "resample": 2},
    "unet": {"width": 4, "depth": 3, "groups": 1},
    "dualpath": {"width": 8, "blocks": 1},
    "tstnn": {"channels": 8, "blocks": 1, "heads": 2, "frame": 128},
}
FRAMES = {"unet": (320, ""), "dualpath": (512, ""), "tstnn": (128, "encoder")}
"""Networks that compute frames: the samples of a window, and the taps that see no later frame, as their names begin."""
every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def network(name: str) -> Enhancer:
    torch.manual_seed(0)
    return models.create(name.partition(" ")[0], **NETWORKS[name]).eval()


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


# One network beside itself, which pads its input further


def compared(one: Enhancer) -> dict[str, Method]:
    """The methods that compare features of this network and are 0 where they are equal."""
    methods = {}
    for name, kind in METHODS.items():
        method = kind()
        try:
            method.connect(one.taps, one.taps)
        except InputError:
            continue  # it has no views, or no layers
        if method.zero_when_equal and method.teacher_taps:
            methods[name] = method
    return methods


def beside(here: View, there: View, places: Mapping[str, Tap], tap: str) -> float:
    """The distance of the attention maps at one tap."""
    student, teacher = match((here.feats[tap], there.feats[tap]), (places[tap], places[tap]))
    return attention_distance(student, teacher).item()


def doubled(view: View) -> View:
    """A view in double precision."""
    return View(view.wave.double(), {tap: feature.double() for tap, feature in view.feats.items()})


def compare(one: Enhancer, plain: View, padded: View, other: View, taps: Iterable[str]) -> None:
    """Assert that ``padded`` is to ``plain`` what an equal is, at all ``taps`` and by every method.

    In double precision: random networks tell recordings so little apart that single precision rounds more away.
    """
    plain, padded, other = (doubled(view) for view in (plain, padded, other))
    assert any(padded.feats[tap].shape != plain.feats[tap].shape for tap in one.taps)
    for tap in taps:
        assert beside(plain, padded, one.taps, tap) <= 0.02 * beside(plain, other, one.taps, tap), tap
    batch = Batch(plain.wave, None, torch.full((2,), plain.wave.shape[1]))
    for name, method in compared(one).items():
        method.double().prepare(plain, plain)
        limit = 0.02 * method(plain, other, batch).item()
        assert abs(method(plain, padded, batch).item()) <= limit, name
        assert abs(method(padded, plain, batch).item()) <= limit, name


@every_network
def test_features_that_go_on_behind_the_signal_are_as_good_as_equal(name: str) -> None:
    """As a deeper network has them: a frame of its deepest layer longer, the rest of it the same."""
    one = network(name)
    noisy = torch.stack(
        [0.1 * noise(8000, seed=seed) * torch.linspace(0.1, 9, 8000).roll(2000 * seed) for seed in range(4)]
    )
    coarse = 4 * max(place.stride for place in one.taps.values())
    with torch.no_grad():
        plain, other = (observe(one, part, one.taps) for part in (noisy[:2], noisy[2:]))
        feats = {
            tap: torch.cat([feature, feature[:, :, -round(coarse / one.taps[tap].stride) :]], dim=2)
            for tap, feature in plain.feats.items()
        }
        compare(one, plain, View(plain.wave, feats), other, one.taps)
    assert {"at", "two_step", "fsp", "channel_time", "rkd", "pkt", "similarity"} <= compared(one).keys()


CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus" / "pairs" / "voicebank-demand-test" / "noisy"
real_speech = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"needs the recordings in {CORPUS}")


@cache
def recordings(count: int = 4, samples: int = 64000) -> Tensor:
    waves = [torch.from_numpy(sound_files.read(path)[0][0]).float() for path in sorted(CORPUS.iterdir())[:count]]
    return torch.stack([wave.repeat(-(-samples // len(wave)))[:samples] for wave in waves])


@cache
def comparable(kind: str) -> Enhancer:
    """Trained networks where some ship, as a random MANNER shows next to the same for any speech."""
    torch.manual_seed(0)
    random = {"demucs": {"hidden": 8, "depth": 4}, "tstnn": {"channels": 8, "blocks": 1, "heads": 2}}
    shipped = {"manner": "manner-s-1.5gf", "unet": "unet-24", "dualpath": "dualpath-24"}
    return models.load(shipped[kind]) if kind in shipped else models.create(kind, **random[kind]).eval()


def padded_further(kind: str, noisy: Tensor, patch: pytest.MonkeyPatch) -> View:
    """What the network shows where it pads its input as one that is a layer deeper does."""
    one = comparable(kind)
    if kind not in ("manner", "demucs"):  # which pad up to whole hops: a frame more is what there is to have
        return observe(one, F.pad(noisy, (0, int(one.taps["latent"].stride))), one.taps)

    def deeper(length: int, kernel: int, stride: int, depth: int) -> int:
        return strided.valid_length(length, kernel, stride, depth + 1)

    with patch.context() as inside:
        inside.setattr(f"sordino.models.{kind}.valid_length", deeper)
        return observe(one, noisy, one.taps)


@real_speech
@pytest.mark.parametrize("kind", ["manner", "unet", "dualpath", "demucs", "tstnn"])
def test_a_network_that_pads_its_input_further_is_as_good_as_equal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, noisy = comparable(kind), recordings()
    # The random DEMUCS has decoder layers that hardly differ between recordings, and do where the padding begins.
    taps = [tap for tap in one.taps if kind != "demucs" or not tap.startswith("decoder")]
    with torch.no_grad():
        plain, other = (observe(one, part, one.taps) for part in (noisy[:2], noisy[2:]))
        compare(one, plain, padded_further(kind, noisy[:2], monkeypatch), other, taps)


@real_speech
def test_stretching_by_lengths_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The global view as it was compared before frames had positions: as far from itself as from other speech."""
    one, noisy, tap = comparable("manner"), recordings(), "decoder.3.global"
    with torch.no_grad():
        plain, other = (observe(one, part, one.taps) for part in (noisy[:2], noisy[2:]))
        padded = padded_further("manner", noisy[:2], monkeypatch)
    stretched = attention_distance(plain.feats[tap], padded.feats[tap]).item()
    assert stretched > 0.5 * beside(plain, other, one.taps, tap)
    assert stretched > 40 * beside(plain, padded, one.taps, tap)
