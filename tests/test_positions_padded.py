"""Frames by position: a network that pads its input further is as good as equal to itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.noise import noise
from helpers.positions import every_network, network
from helpers.real import MISSING, PAIRS
from sordino import models
from sordino.audio import sound_files
from sordino.distill.base import Method
from sordino.distill.layers.positions import match
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import attention_distance
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.models.layers import strided
from sordino.types import Batch, Tap, View


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


NOISY = PAIRS / "voicebank-demand-test" / "noisy"
real_speech = pytest.mark.skipif(not NOISY.is_dir(), reason=MISSING)


@cache
def recordings(count: int = 4, samples: int = 64000) -> Tensor:
    waves = [torch.from_numpy(sound_files.read(path)[0][0]).float() for path in sorted(NOISY.iterdir())[:count]]
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
