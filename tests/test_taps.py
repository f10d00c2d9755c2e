"""Taps of networks built elsewhere: what they may declare, and what is said where a feature is not that."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from helpers.noise import noise
from sordino.conformance.networks import CHECKS
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.models import Enhancer
from sordino.types import AXES, Tap

HOP, FFT = 64, 128
SAMPLES = 16000


class Mask(Enhancer):
    """A mask from a conv2d on a spectrum [B,C,F,N], whose feature passes ``shown`` in any order of axes."""

    name = "mask"

    def __init__(self, axes: str = "BCFN", declared: str = "", stride: float = HOP) -> None:
        super().__init__()
        self.conv, self.shown = nn.Conv2d(2, 5, 3, padding=1), nn.Identity()
        self.axes, self.tap = axes, Tap("shown", declared or axes, stride=stride, offset=0)

    @property
    def taps(self) -> dict[str, Tap]:
        return {"encoder.1": self.tap}

    def spectrum(self, noisy: Tensor) -> Tensor:
        return torch.stft(noisy, FFT, HOP, window=torch.hann_window(FFT), return_complex=True)

    def feature(self, noisy: Tensor) -> Tensor:
        return self.conv(torch.view_as_real(self.spectrum(noisy)).movedim(-1, 1))

    def forward(self, noisy: Tensor) -> Tensor:
        feature = self.feature(noisy)
        kept, order = (feature, "BCFN") if "F" in self.axes else (feature.mean(2), "BCN")
        kept = self.shown(kept.permute([order.index(axis) for axis in self.axes]))
        masked = self.spectrum(noisy) * (feature.mean(1).sigmoid() + 0 * kept.mean())
        return torch.istft(masked, FFT, HOP, window=torch.hann_window(FFT), length=noisy.shape[-1])


@pytest.mark.parametrize("axes", AXES)
def test_a_feature_in_any_order_of_axes_comes_with_frames_third(axes: str) -> None:
    network, noisy = Mask(axes), noise(2, SAMPLES)
    feature = network.feature(noisy).transpose(2, 3)
    expected = feature if "F" in axes else feature.mean(3)
    assert torch.equal(observe(network, noisy, ["encoder.1"]).feats["encoder.1"], expected)
    CHECKS["taps"](lambda: Mask(axes))


@pytest.mark.parametrize("axes", ["BCT", "BTC", "BNCF", "bcn", "NBC", "BC", ""])
def test_axes_that_nothing_reads_are_refused(axes: str) -> None:
    with pytest.raises(InputError, match=rf"^the Tap of conv: axes '{axes}'; expected one of BCN, BNC, BCNF, BCFN"):
        Tap("conv", axes, stride=1, offset=0)


@pytest.mark.parametrize("stride", [0, -160, float("nan")])
def test_a_stride_is_above_0(stride: float) -> None:
    with pytest.raises(InputError, match=r"^the Tap of conv: stride .*; expected a number of samples above 0$"):
        Tap("conv", stride=stride, offset=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 2 * HOP},
        {"stride": HOP / 2},
        {"stride": 10 * HOP},
        {"axes": "BCFN", "declared": "BCNF"},
        {"axes": "BNC", "declared": "BCN"},
    ],
    ids=str,
)
def test_frames_that_do_not_fill_the_signal_are_refused(wrong: dict[str, Any]) -> None:
    found = r"tap encoder\.1 of mask: \d+ frames of \d+ samples in a signal of 16000; set the stride and the axes of"
    with pytest.raises(InputError, match=found):
        observe(Mask(**wrong), noise(2, SAMPLES), ["encoder.1"])
    with pytest.raises((InputError, AssertionError), match=r"encoder\.1.*stride"):
        CHECKS["taps"](lambda: Mask(**wrong))


def test_the_check_is_stricter_than_a_pass() -> None:
    observe(Mask(stride=1.3 * HOP), noise(2, SAMPLES), ["encoder.1"])
    with pytest.raises(AssertionError, match=r"16000 more samples add 250 frames to encoder\.1, and its Tap says 192"):
        CHECKS["taps"](lambda: Mask(stride=1.3 * HOP))


@pytest.mark.parametrize("declared", ["BCN", "BNC"])
def test_a_feature_of_other_axes_than_its_tap_is_refused(declared: str) -> None:
    shape = r"\[2, 5, 65, 251\]"
    expected = rf"encoder\.1 of mask: shown returned the shape {shape}; expected {declared} of 2 items.*; set the axes"
    with pytest.raises(InputError, match=expected):
        observe(Mask("BCFN", declared), noise(2, SAMPLES), ["encoder.1"])


class Follows(Mask):
    """A mask whose feature goes on through another module."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.after, self.tap = after, Tap("conv", "BCFN", stride=HOP, offset=0)

    def feature(self, noisy: Tensor) -> Tensor:
        return self.after(super().feature(noisy))


@pytest.mark.parametrize("training", [False, True])
def test_a_feature_that_is_changed_in_place_is_refused(training: bool) -> None:
    noisy = noise(2, SAMPLES)
    network = Follows(nn.LeakyReLU(0.1, inplace=True)).train(training)
    message = r"^tap encoder\.1 of mask: the output of conv was changed in place after it; write inplace=False"
    with torch.set_grad_enabled(training), pytest.raises(InputError, match=message):
        observe(network, noisy, ["encoder.1"])
    network.after = nn.LeakyReLU(0.1)
    expected = network.conv(torch.view_as_real(network.spectrum(noisy)).movedim(-1, 1)).transpose(2, 3)
    assert torch.equal(observe(network, noisy, ["encoder.1"]).feats["encoder.1"], expected)
    network.after, network.tap = nn.LeakyReLU(0.1, inplace=True), Tap("after", "BCFN", stride=HOP, offset=0)
    assert observe(network, noisy, ["encoder.1"]).feats["encoder.1"].shape == expected.shape


def test_a_feature_whose_copy_is_kept_may_be_changed_in_place() -> None:
    """Half precision is copied to float32 at once, so that what is done to the original does not matter."""
    network = Follows(nn.LeakyReLU(0.1, inplace=True))
    with torch.autocast("cpu", torch.bfloat16):
        feature = observe(network, noise(2, SAMPLES), ["encoder.1"]).feats["encoder.1"]
    assert feature.dtype == torch.float32
    assert feature.min() < 0.5 * -feature.max()  # not yet through the LeakyReLU


def test_a_module_that_runs_twice_is_refused() -> None:
    network = Follows(nn.Conv2d(5, 5, 1))
    network.after = nn.Sequential(network.after, network.after)
    network.tap = Tap("after.0", "BCFN", stride=HOP, offset=0)
    with pytest.raises(InputError, match=r"^tap encoder\.1 of mask: after\.0 runs more than once in a pass; expected"):
        observe(network, noise(2, SAMPLES), ["encoder.1"])


class Sequence(Mask):
    """A mask from the bands of a spectrum as a sequence [B,N,C] through a module that returns what it will."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.tap = inner, Tap("inner", "BNC", stride=HOP, offset=0)

    def feature(self, noisy: Tensor) -> Tensor:
        feature = super().feature(noisy)
        sequence = feature.mean(2).transpose(1, 2)
        self.inner(*[sequence] * (3 if isinstance(self.inner, nn.MultiheadAttention) else 1))
        return feature


@pytest.mark.parametrize(
    "inner",
    [
        nn.GRU(5, 4, batch_first=True),
        nn.LSTM(5, 4, batch_first=True),
        nn.MultiheadAttention(5, 1, batch_first=True),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_of_a_tuple_the_first_member_is_the_feature(inner: nn.Module) -> None:
    network, noisy = Sequence(inner).eval(), noise(2, SAMPLES)
    sequence = Mask.feature(network, noisy).mean(2).transpose(1, 2)
    output, _ = inner(*[sequence] * (3 if isinstance(inner, nn.MultiheadAttention) else 1))
    assert torch.equal(observe(network, noisy, ["encoder.1"]).feats["encoder.1"], output.transpose(1, 2))


class Gives(nn.Module):
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, _: Tensor) -> object:
        return self.output


@pytest.mark.parametrize(
    ("output", "kind"), [(None, "NoneType"), ((), "tuple"), (([], None), "tuple of list"), ({"x": 1}, "dict")], ids=str
)
def test_an_output_that_is_no_tensor_is_refused(output: object, kind: str) -> None:
    message = rf"^tap encoder\.1 of mask: inner returned a {kind}; expected a tensor$"
    with pytest.raises(InputError, match=message):
        observe(Sequence(Gives(output)), noise(2, SAMPLES), ["encoder.1"])


def test_a_compiled_network_shows_the_same_features() -> None:
    network, noisy = Mask(), noise(2, SAMPLES)
    compiled = torch.compile(network, backend="eager")
    plain = observe(network, noisy, ["encoder.1"])
    seen = observe(cast(nn.Module, compiled), noisy, ["encoder.1"])
    torch.testing.assert_close(seen.feats["encoder.1"], plain.feats["encoder.1"])
    torch.testing.assert_close(seen.wave, plain.wave)
