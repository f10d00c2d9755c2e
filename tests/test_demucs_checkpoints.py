"""DEMUCS: published checkpoints give the published output, and others are refused."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from helpers import reference
from helpers.noise import noise
from helpers.pickles import Bomb
from sordino import models
from sordino.errors import InputError
from sordino.models.demucs import Demucs

REFERENCE = json.loads((Path(__file__).parent / "data" / "demucs.json").read_text())
S4, S2 = "demucs/H8-U4-S4-causal", "demucs/H8-U2-S2-causal"


def package(case: str, **changes: Any) -> dict[str, Any]:
    """What the authors' packages hold beside ``class``."""
    return {
        "args": (),
        "kwargs": REFERENCE[case]["config"] | changes,
        "state": reference.state(REFERENCE[case]["keys"]),
    }


def save(content: dict[str, Any], path: Path, zipped: bool = True) -> Path:
    """Save a package with a class of the authors' name, which nobody can import afterwards."""
    module = ModuleType("denoiser.demucs")
    module.Demucs = type("Demucs", (nn.Module,), {"__module__": module.__name__})  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "denoiser", ModuleType("denoiser"))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save({"class": module.Demucs, **content}, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("case", REFERENCE)
def test_published_weights_give_the_published_output(case: str, tmp_path: Path) -> None:
    network = models.load(save(package(case), tmp_path / "published.th"))
    figures, config = REFERENCE[case], REFERENCE[case]["config"]
    expected = {"hidden": 8, "depth": 5, "kernel": 8, "stride": 4, "resample": 4, "growth": 2, **config}
    assert (network.name, network.arguments) == ("demucs", {**expected, "normalisation": "item"})
    with torch.no_grad():
        estimate = network(reference.waves())
    sampled = estimate[:, figures["output_index"]]
    assert torch.allclose(sampled, torch.tensor(figures["output"]), rtol=0, atol=1e-5)
    assert estimate.square().mean(-1).sqrt().tolist() == pytest.approx(figures["output_rms"], abs=1e-5)


@pytest.mark.parametrize("case", [S4, "demucs/H8-U4-S4-noncausal"])
def test_a_bare_state_is_read_off_its_shapes(case: str, tmp_path: Path) -> None:
    torch.save(reference.state(REFERENCE[case]["keys"]), tmp_path / "bare.th")
    with pytest.warns(UserWarning, match="does not state"):
        bare = models.load(tmp_path / "bare.th")
    assert bare.arguments == models.load(save(package(case), tmp_path / "package.th")).arguments


def test_every_argument_but_stride_and_rate_is_read_off_the_shapes(tmp_path: Path) -> None:
    network = Demucs(hidden=3, depth=4, kernel=6, growth=3)
    state = {
        name.replace("latent.", "lstm.")
        .replace(".down.", ".0.")
        .replace(".mix.", ".2." if name.startswith("encoder") else ".0.")
        .replace(".up.", ".2."): value
        for name, value in network.state_dict().items()
    }
    torch.save({"model": {"state": state}, "optimizer": {}}, tmp_path / "wrapped.th")
    with pytest.warns(UserWarning, match="does not state"):
        loaded = models.load(tmp_path / "wrapped.th")
    assert loaded.arguments == network.arguments
    assert torch.equal(loaded(noise(1, 900, seed=1)), network(noise(1, 900, seed=1)))


@pytest.mark.parametrize("inside", [False, True])
def test_arguments_stated_without_a_class_are_followed(inside: bool, tmp_path: Path) -> None:
    content = package(S2)
    del content["args"]
    torch.save({"model": content, "args": {"lr": 3e-4}} if inside else content, tmp_path / "plain.th")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = models.load(tmp_path / "plain.th")
        assert network.arguments == models.load(save(package(S2), tmp_path / "package.th")).arguments
    assert (network.arguments["stride"], network.arguments["resample"]) == (2, 2)
    with torch.no_grad():
        sampled = network(reference.waves())[:, REFERENCE[S2]["output_index"]]
    assert torch.allclose(sampled, torch.tensor(REFERENCE[S2]["output"]), rtol=0, atol=1e-5)


def test_what_is_assumed_of_a_state_that_says_nothing_is_reported(tmp_path: Path) -> None:
    state = package(S2)["state"]
    torch.save(state, tmp_path / "bare.th")
    with pytest.warns(UserWarning, match="does not state stride and resample.*taken for stride=4, resample=4"):
        assert models.load(tmp_path / "bare.th").arguments["stride"] == 4
    torch.save({"state": state, "kwargs": {"stride": 2}}, tmp_path / "half.th")
    with pytest.warns(UserWarning, match="does not state resample.*taken for resample=4"):
        assert models.load(tmp_path / "half.th").arguments["stride"] == 2


def test_arguments_may_be_stated_by_position(tmp_path: Path) -> None:
    content = package(S2) | {"args": (1, 1, 8, 5, 8, 2), "kwargs": {"resample": 2, "rescale": 0.1}}
    arguments = models.load(save(content, tmp_path / "package.th")).arguments
    assert (arguments["stride"], arguments["resample"]) == (2, 2)


def test_files_of_before_torch_1_6_open_when_they_hold_tensors_alone(tmp_path: Path) -> None:
    path = tmp_path / "old.th"
    torch.save(package(S4)["state"], path, _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match="does not state"):
        assert models.load(path).arguments["hidden"] == 8
    # In that format a class brings its source code along, which torch opens on trust only.
    with pytest.raises(InputError, match="cannot be opened as weights alone"):
        models.load(save(package(S4), path, zipped=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 0.1}, "a DEMUCS with an unknown argument, dropout=0.1"),
        ({"chin": 2}, "chin=2, where only 1 can be built"),
        ({"glu": False}, "glu=False"),
        ({"hidden": 16}, "hidden=16 beside tensors of a network with hidden=8"),
        ({"hidden": torch.zeros(2)}, "hidden is a Tensor"),
        ({"glu": torch.ones(2)}, "where only True can be built"),
        ({"causal": False}, "causal=False beside tensors of a network with causal=True"),
        ({"kernel_size": 6}, "kernel_size=6 beside"),
        ({"depth": 4}, "depth=4 beside"),
        ({"growth": 3}, "growth=3 beside"),
        ({"stride": 9}, "kernel >= stride"),
    ],
)
def test_arguments_that_cannot_be_followed_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(package(S4, **changes), tmp_path / "package.th")
    with pytest.raises(InputError, match=message):
        models.load(path)
    torch.save(package(S4, **changes), path)
    with pytest.raises(InputError, match=message):
        models.load(path)


def test_wrong_states_are_refused(tmp_path: Path) -> None:
    state, path = package(S4)["state"], tmp_path / "wrong.th"
    first = "encoder.0.0.weight"
    for wrong, message in (
        ({**state, "encoder.0.7.weight": torch.zeros(1)}, "unknown name"),
        ({name: value for name, value in state.items() if name != "decoder.4.2.bias"}, "lacks decoder.4.up.bias"),
        ({**state, first: torch.zeros(3)}, "a DEMUCS with"),
        ({**state, "lstm.lstm.weight_hh_l0": torch.zeros(())}, "a tensor of a shape that no DEMUCS has"),
        ({**state, first: "text"}, "no checkpoint of a network"),
    ):
        torch.save(wrong, path)
        with pytest.raises(InputError, match=message):
            models.load(path)
    save(package(S4) | {"args": tuple(range(99))}, path)
    with pytest.raises(InputError, match="99 arguments"):
        models.load(path)


class Instance:
    """Pickles as an instance of the authors' class, made with an argument."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return sys.modules["denoiser.demucs"].Demucs, ("argument",)


def test_a_package_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    for secret in (Bomb(tmp_path / "ran"), Instance()):
        path = save(package(S4) | {"training": secret}, tmp_path / "bomb.th")
        with pytest.raises(InputError, match="cannot be opened as weights alone"):
            models.load(path)
    assert not (tmp_path / "ran").exists()
