"""The Python API in ways that are likely mistakes: one clear line, or the right value, and never a wrong one."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sordino
from helpers.noise import white
from sordino import losses, metrics, models
from sordino.data import sources
from sordino.distill.teachers import SeveralTeachers, Teacher
from sordino.errors import InputError
from sordino.export import to_onnx
from sordino.models import Enhancer
from sordino.placement import plain_operators
from sordino.types import Batch

RATE = 16000


class Own(Enhancer):
    """A network of a user's, without a name; ``change`` is what it does."""

    def __init__(self, change: Any = lambda noisy: noisy) -> None:
        super().__init__()
        self.change = change

    def forward(self, noisy: Tensor) -> Tensor:
        return self.change(noisy)


def small() -> Enhancer:
    torch.manual_seed(0)
    return models.create("unet", width=4, depth=2, groups=1)


# Networks


def test_a_network_without_weights_or_with_whole_numbers_first_is_run_on_floats() -> None:
    noisy, network = white(3200), Own()
    np.testing.assert_array_equal(sordino.enhance(noisy, RATE, network), noisy)
    network.register_buffer("count", torch.zeros(1, dtype=torch.long))
    np.testing.assert_array_equal(sordino.enhance(noisy, RATE, network), noisy)
    assert Teacher(network).name == "Own"


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda noisy: (noisy * 32768).short(), "values of type int16"), (lambda noisy: noisy + 0j, "complex numbers")],
)
def test_estimates_that_are_no_samples_are_refused(change: Any, found: str) -> None:
    with pytest.raises(InputError, match=found):
        sordino.enhance(white(3200), RATE, Own(change))


def test_a_module_of_torch_that_is_no_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"a Linear; expected a sordino\.models\.Enhancer"):
        sordino.enhance(white(3200), RATE, nn.Linear(3200, 3200))


def test_autocast_around_it_does_not_change_an_estimate() -> None:
    noisy, network = white(8000), small().eval()
    wanted = sordino.enhance(noisy, RATE, network)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(sordino.enhance(noisy, RATE, network), wanted)
        streamer = sordino.Streamer(network)
        streamed = np.concatenate([streamer.feed(noisy), streamer.flush()])
    np.testing.assert_allclose(streamed, wanted, atol=1e-5)


def test_what_is_saved_can_be_loaded(tmp_path: Path) -> None:
    network = small()
    models.save(torch.compile(network), tmp_path / "compiled.safetensors")  # pyright: ignore[reportArgumentType]
    loaded = models.load(tmp_path / "compiled.safetensors").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())
    with pytest.raises(InputError, match=r"x\.pt: is no name of a checkpoint; expected one that ends in \.safetensors"):
        models.save(network, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"has weights of torch\.float64; expected torch\.float32"):
        to_onnx(small().double(), tmp_path / "x.onnx")


# Losses


@pytest.mark.parametrize("name", ["l1", "si_sdr", "weighted"])
def test_signals_of_unequal_shapes_have_no_loss(name: str) -> None:
    loss, waves = losses.create(name), torch.from_numpy(white(3, 16000))
    for clean, estimate in ((waves[:, None], waves), (waves[:1], waves), (waves[:, :-1], waves), (waves[0], waves[0])):
        with pytest.raises(InputError, match=r"signals of shapes .*; expected \[B,T\]"):
            loss(clean, estimate, waves)


@pytest.mark.parametrize("name", ["weighted", "multi_resolution", "compressed"])
def test_a_gradient_of_a_gradient_is_an_error_or_right_and_never_zero(name: str) -> None:
    loss = losses.create(name)
    clean, noisy, estimate = torch.from_numpy(white(3, 1, 16000))
    estimate.requires_grad_()

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(loss(clean, estimate, noisy).sum(), estimate, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), estimate)[0].norm()

    with pytest.raises(InputError, match="have no gradient of a gradient; expected torch's own operators"):
        penalty()
    with plain_operators():
        assert penalty() > 0


def test_a_loss_has_no_gradient_for_the_noisy_signal() -> None:
    clean, noisy, estimate = torch.from_numpy(white(3, 1, 16000))
    loss = losses.create("multi_resolution")(clean, estimate, noisy.requires_grad_()).sum()
    assert torch.autograd.grad(loss, noisy, allow_unused=True) == (None,)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("snr", {"max_db": np.nan}),
        ("multi_resolution", {"spectral_weight": np.nan}),
        ("perceptual", {"symmetric": np.nan}),
        ("snr", {"foo": 1}),
    ],
)
def test_arguments_that_make_no_loss_are_one_line(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"loss.{name}"):
        losses.create(name, **arguments)


# Teachers and data


def test_a_teacher_whose_measure_is_not_a_number_is_not_the_best() -> None:
    members = [Teacher(Own(lambda noisy: 0 * noisy)), Teacher(Own())]
    teacher = SeveralTeachers(members, measure=lambda estimate, _: np.nan if not estimate.any() else 1.0)
    noisy = torch.from_numpy(white(2, 3200))
    batch = Batch(noisy, noisy, torch.tensor([3200, 3200]), ("a", "b"))
    assert torch.equal(teacher(batch, set()).wave, noisy)


def test_one_folder_makes_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    source = sources.create("pairs", noisy=str(tmp_path), clean=str(tmp_path / "link"))
    with pytest.raises(InputError, match="is the folder of the noisy recordings"):
        source.train(0)


# Metrics


def test_stoi_of_several_threads_leaves_filters_and_numbers_alone() -> None:
    short = np.zeros(2 * RATE)
    short[:3200] = white(3200)
    metrics.stoi(white(RATE), white(RATE, seed=1), RATE)  # its package is imported, which sets filters
    before = list(warnings.filters)

    def values(_: int) -> dict[str, float]:
        return metrics.measure(short, short + 1e-4 * white(2 * RATE, seed=1), RATE, ["stoi", "estoi"]).values

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(values, range(40))) == [{}] * 40
    assert warnings.filters == before
    np.random.seed(7)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    metrics.stoi(white(RATE), white(RATE, seed=1), RATE)
    assert np.random.random() == wanted  # noqa: NPY002


@pytest.mark.parametrize("rate", [0, -1, 1, 16000.5, None])
def test_a_rate_that_no_recording_has_is_refused(rate: Any) -> None:
    with pytest.raises(InputError, match="sample_rate"):
        metrics.measure(white(8000), white(8000), rate, ["snr_db"])


def test_words_and_tensors_are_taken_as_they_are_meant() -> None:
    clean, estimate = white(8000), white(8000, seed=1)
    wanted = metrics.measure(clean, estimate, RATE, ["snr_db"]).values
    tensor = torch.from_numpy(estimate).requires_grad_()
    assert metrics.measure(clean, tensor, "16000", "snr_db").values == wanted  # pyright: ignore[reportArgumentType]
    assert metrics.correlation(clean, clean) == 1
    with pytest.raises(InputError, match="align: 'exakt'; expected one of exact, shorter, lag"):
        metrics.measure(clean, estimate, RATE, ["snr_db"], align="exakt")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("data", "found"), [(None, "a NoneType"), ([np.zeros(8)], "a list of ndarray"), ([1], "of int")]
)
def test_data_that_are_no_recordings_are_refused(data: Any, found: str) -> None:
    with pytest.raises(InputError, match=f"data: .*{found}; expected a source, its items, or one or two folders"):
        sordino.evaluate(None, data)
    with pytest.raises(InputError, match="split: 'x'; expected one of test, valid"):
        sordino.evaluate(None, sources.create("synthetic"), split="x")  # pyright: ignore[reportArgumentType]
