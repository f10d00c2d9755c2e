"""Networks: one contract for all of them, and files that hold no network of ours."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

import sordino
from helpers.networks import small
from helpers.noise import white
from helpers.pickles import Bomb
from sordino import models
from sordino.assets import SPEECH
from sordino.conformance.base import NotClaimed
from sordino.conformance.networks import CHECKS
from sordino.errors import InputError
from sordino.models import MODELS, checkpoint
from sordino.models import manner as manner_file
from sordino.models.base import evaluating

STREAMING = ("unet", "dualpath")
every_network = pytest.mark.parametrize("name", MODELS)


@every_network
@pytest.mark.parametrize("check", [name for name in CHECKS if "ONNX" not in name])  # tests/test_export.py
def test_every_network_holds_what_it_owes(name: str, check: str) -> None:
    unclaimed = check == "stream equals whole" and name not in STREAMING
    with pytest.raises(NotClaimed) if unclaimed else contextlib.nullcontext():
        CHECKS[check](lambda: small(name))


def test_create_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="did you mean manner-s"):
        models.create("maner-s")
    with pytest.raises(InputError, match="width"):
        models.create("manner-s", width=12)
    for wrong in ({"hidden": 1}, {"depth": 0}, {"hidden": 5, "depth": 1}):
        with pytest.raises(InputError, match="hidden"):
            models.create("manner-b", **wrong)
    with pytest.raises(ValueError, match="attention"):
        manner_file.Manner(12, 2, "some")


def test_our_own_files_are_checked_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(InputError, match="no such file"):
        models.load(tmp_path / "nothing.safetensors")
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="did not write"):
        models.load(path)
    models.save(small("manner-s"), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="safetensors"):
        models.load(path)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Bomb(tmp_path / "ran")}, tmp_path / "bomb.th")
    with pytest.raises(InputError, match="cannot be opened as weights alone"):
        models.load(tmp_path / "bomb.th")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "sound.pt").write_bytes(SPEECH.read_bytes())
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.pt")
    for name, reason in (("text.pt", ""), ("sound.pt", ""), ("whole.pt", r": it holds a torch\.[\w.]+\.Linear")):
        found = rf"cannot be opened as weights alone{reason}; expected .*; write .* with sordino\.models\.save"
        with pytest.raises(InputError, match=found):
            models.load(tmp_path / name)


def test_of_several_that_evaluate_a_network_the_last_one_restores_its_mode() -> None:
    network = small("unet").train()
    with contextlib.ExitStack() as other:
        with evaluating(network):
            other.enter_context(evaluating(network))
        assert not any(module.training for module in network.modules())
    assert all(module.training for module in network.modules())


def test_networks_in_double_precision_enhance_and_stream() -> None:
    network, noisy = small("unet").double(), white(2000, level=0.1)
    estimate = sordino.enhance(noisy, 16000, network)
    assert estimate.dtype == np.float32
    streamer = sordino.Streamer(network)
    streamed = np.concatenate([streamer.feed(noisy), streamer.flush()])
    np.testing.assert_allclose(streamed, estimate, atol=1e-6)


class Tied(models.Enhancer):
    """An encoder and a decoder with the same weights."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.name, self.arguments = "tied", {"width": width}
        self.encoder = torch.nn.Conv1d(1, width, 15, padding=7)
        self.decoder = torch.nn.ConvTranspose1d(width, 1, 15, padding=7)
        self.decoder.weight = self.encoder.weight

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(noisy[:, None]).relu())[:, 0]


def test_tied_weights_are_saved_and_stay_tied(tmp_path: Path) -> None:
    network, noisy = Tied().eval(), torch.from_numpy(white(1, 800))
    models.save(network, tmp_path / "tied.safetensors")
    loaded = checkpoint.load(tmp_path / "tied.safetensors", lambda name, arguments, where: Tied(**arguments))
    assert loaded.decoder.weight is loaded.encoder.weight
    with torch.inference_mode():
        assert torch.equal(loaded(noisy), network(noisy))
