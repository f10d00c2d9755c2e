"""MANNER: its claims against figures from outside, published checkpoints, and chunks that need little memory."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from helpers import reference
from helpers.largest import Largest
from helpers.networks import small
from helpers.noise import noise
from sordino import models
from sordino.distill.methods.at import attention_map
from sordino.distill.teachers import observe
from sordino.errors import InputError
from sordino.evaluation.cost import macs_per_second, paper_flops
from sordino.models import Enhancer
from sordino.models import manner as manner_file
from sordino.models.layers.chunks import chunk, overlap_add
from sordino.models.layers.strided import valid_length

REFERENCE = json.loads((Path(__file__).parent / "data" / "manner.json").read_text())
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)


def same_state(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


# MANNER's claims


@pytest.mark.parametrize(
    ("name", "hidden", "depth", "parameters", "gflops", "gmacs"),
    [
        ("manner-b", 60, 4, 24_068_671, 61.92, 7.3),
        ("manner-s", 60, 4, 21_253_921, 38.34, 3.4),
        ("manner-s", 12, 3, 257_785, 1.46, 0.15),
        ("manner-s", 24, 3, 901_777, 5.32, None),
        ("manner-s", 30, 3, 1_380_901, 8.14, 0.77),
    ],
)
def test_size_and_cost_are_those_claimed(
    name: str, hidden: int, depth: int, parameters: int, gflops: float, gmacs: float | None
) -> None:
    with torch.device("meta"):
        network = _without_rescaling(name, hidden, depth)
    assert models.count_parameters(network) == parameters
    assert paper_flops(network) / 1e9 == pytest.approx(gflops, rel=0.01)
    if gmacs is not None:
        assert macs_per_second(network) / 1e9 == pytest.approx(gmacs, rel=0.06)


def test_attention_makes_a_second_dearer_in_longer_signals() -> None:
    network = small("manner-b")
    assert macs_per_second(network, 4.0) > 1.5 * macs_per_second(network, 1.0)


def test_large_has_the_published_size() -> None:
    with torch.device("meta"):
        assert models.count_parameters(_without_rescaling("manner-l", 120, 4)) == pytest.approx(95.5e6, rel=1e-3)


def _without_rescaling(name: str, hidden: int, depth: int) -> Enhancer:
    """The network with PyTorch's own initial weights: the rule that rescales them needs values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manner_file, "rescale", lambda module: None)
        return models.create(name, hidden=hidden, depth=depth)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_valid_lengths_divide_at_every_layer_and_are_the_shortest(depth: int) -> None:
    for length in range(1, 6000, 7 if depth > 2 else 1):
        frames = length
        for _ in range(depth):
            frames = max(math.ceil((frames - 8) / 4) + 1, 1)
        for _ in range(depth):
            frames = (frames - 1) * 4 + 8
        assert valid_length(length, 8, 4, depth) == frames


def test_initial_convolutions_are_rescaled() -> None:
    torch.manual_seed(5)
    plain = dict(_without_rescaling("manner-b", 12, 2).named_modules())
    torch.manual_seed(5)
    for name, module in models.create("manner-b", hidden=12, depth=2).named_modules():
        default = plain[name]
        if isinstance(module, CONVOLUTIONS):
            assert isinstance(default, CONVOLUTIONS)
            scale = math.sqrt(default.weight.std().item() / 0.1)
            assert torch.allclose(module.weight * scale, default.weight, atol=1e-6), name
            assert module.weight.std().item() == pytest.approx(math.sqrt(0.1 * default.weight.std().item()), rel=1e-4)
            if module.bias is not None and default.bias is not None:
                assert torch.allclose(module.bias * scale, default.bias, atol=1e-6), name
        elif not list(module.children()):
            assert same_state(module, default), name


# Published checkpoints


def published(case: str) -> dict[str, Tensor]:
    """A state under the published names."""
    return reference.state(REFERENCE[case]["keys"])


@pytest.mark.parametrize("case", REFERENCE)
@pytest.mark.parametrize("wrapped", [True, False])
def test_published_weights_give_the_published_output_and_views(case: str, wrapped: bool, tmp_path: Path) -> None:
    figures, state = REFERENCE[case], published(case)
    torch.save({"epoch": 3, "state_dict": state} if wrapped else state, tmp_path / "published.th")
    network = models.load(tmp_path / "published.th")
    assert (network.name, network.arguments) == (
        case.partition("/")[0],
        {"hidden": figures["hidden"], "depth": figures["depth"]},
    )
    views = {}
    for block, of_block in figures["views"].items():
        _, side, index, _ = block.split(".")
        layer = int(index) + 1 if side == "encoder" else figures["depth"] - int(index)
        views |= {f"{side}.{layer}.{view}": of_view for view, of_view in of_block.items()}
    with torch.no_grad():
        view = observe(network, reference.waves(), views)
    sampled = view.wave[:, figures["output_index"]]
    assert torch.allclose(sampled, torch.tensor(figures["output"]), rtol=0, atol=1e-5)
    assert view.wave.square().mean(-1).sqrt().tolist() == pytest.approx(figures["output_rms"], abs=1e-5)
    for tap, of_view in views.items():
        assert list(view.feats[tap].shape) == of_view["shape"], tap
        sampled = attention_map(view.feats[tap])[:, of_view["tam_index"]]
        assert torch.allclose(sampled, torch.tensor(of_view["tam"]), rtol=0, atol=1e-5), tap
    assert set(views) == {tap for tap in network.taps if tap.count(".") == 2}


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    state = published("manner-s/12/3")
    path = tmp_path / "wrong.th"
    name = "manner_block.encoder.0.down_conv.0.weight"
    for wrong, message in (
        ({**state, "manner_block.encoder.0.extra.weight": torch.zeros(1)}, "unknown name"),
        ({**state, name: torch.zeros(3, 3, 3)}, r"\[3, 3, 3\]"),
        ({key: value for key, value in state.items() if key != name}, "lacks encoder.0.down.0.weight"),
        ({"encoder.weight": torch.zeros(1)}, "no checkpoint of a network"),
        ([1, 2], "no checkpoint of a network"),
    ):
        torch.save(wrong, path)
        with pytest.raises(InputError, match=message):
            models.load(path)


# Chunks, and memory


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 63, 64, 65, 95, 100, 128, 250, 1000])
def test_chunks_are_those_of_an_im2col(size: int, length: int) -> None:
    x = noise(2, 3, length, seed=1, level=1.0)
    padded = F.pad(x, (size, size))
    columns = F.unfold(padded.reshape(6, 1, 1, -1), (1, size), stride=(1, size // 2))
    assert torch.equal(chunk(x, size), columns.transpose(1, 2).reshape(2, 3, -1, size))
    assert chunk(x, size).shape[2] == (length + 2 * size) // (size // 2) - 1

    changed = chunk(x, size) * noise(1, 1, 1, size, seed=1, level=1.0)
    rows = changed.reshape(6, -1, size).transpose(1, 2)
    folded = F.fold(rows, (1, padded.shape[-1]), (1, size), stride=(1, size // 2)).reshape(2, 3, -1)
    assert torch.allclose(overlap_add(changed, length), folded[..., size : size + length] / 2, atol=1e-6)
    assert torch.allclose(overlap_add(chunk(x, size), length), x)


def largest_tensor(seconds: int, backend: SDPBackend) -> int:
    with torch.no_grad(), FakeTensorMode(), sdpa_kernel(backend):
        network = _without_rescaling("manner-b", 60, 4).eval()
        noisy = torch.empty(1, 16000 * seconds)
        with Largest() as largest:
            network(noisy)
    return largest.numel


def test_attention_never_holds_the_matrix_of_all_chunks() -> None:
    chunks = 16000 * 30 // 32  # of the widest decoder layer on 30 s
    held = largest_tensor(30, SDPBackend.FLASH_ATTENTION)
    assert held < chunks**2  # one row of the 20 that stored attention holds
    assert held < 2.01 * largest_tensor(15, SDPBackend.FLASH_ATTENTION)  # linear in the duration
    assert largest_tensor(30, SDPBackend.MATH) > 20 * chunks**2  # the test sees what it looks for
