"""Models that strangers send: a good one of each kind, how it is damaged, and what reads it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random

import numpy as np
import onnx
import torch

from helpers.corpora import RATE
from helpers.graphs import held_back, lagging, spectral
from helpers.kinds import Kind, Mutate
from helpers.mutations import VALUES, of_bytes, of_json, of_message, of_safetensors, of_tree
from helpers.recipes import UNET
from sordino import models
from sordino.evaluation.trained_on import trained_on
from sordino.inference.model import open_model
from sordino.models.published import FORMATS


def _checkpoints(folder: Path) -> Mutate:
    torch.manual_seed(0)
    samples = []
    small = {"name": "demucs", "hidden": 2, "depth": 2}, {"name": "dualpath", "width": 4, "blocks": 1}
    for arguments in (UNET, *small, {"name": "manner-s", "hidden": 3, "depth": 2}):
        models.save(models.create(**arguments), folder / "good.safetensors", recipe={"model": UNET}, step=7)
        samples.append((folder / "good.safetensors").read_bytes())
    return lambda chance: of_safetensors(chance, chance.choice(samples))


def _load(path: Path) -> object:
    trained_on({"about": models.read_about(path)})
    return models.load(path)


def _published(_folder: Path) -> Mutate:
    torch.manual_seed(0)
    data = Path(__file__).parents[1] / "data"
    states = []
    for form, file, case, arguments in (
        (FORMATS[0], "manner", "manner-s/12/3", {"name": "manner-s", "hidden": 4, "depth": 3}),
        (FORMATS[1], "demucs", "demucs/H8-U4-S4-causal", {"name": "demucs", "hidden": 1, "depth": 5}),
        (FORMATS[2], "tstnn", None, {"name": "tstnn", "channels": 8, "blocks": 4, "frame": 512}),
    ):
        reference = json.loads((data / f"{file}.json").read_text("utf-8"))
        keys = (reference if case is None else reference[case])["keys"]
        own = models.create(**arguments).state_dict()
        # The names of the authors, each with the tensor that has its place in a small network.
        new = form.translate({name: torch.zeros(()) for name in keys})
        tensors = [own[name].squeeze(2) if ".views.2." in name and own[name].ndim == 4 else own[name] for name in new]
        states.append(dict(zip(keys, tensors, strict=True)))
    manner, demucs, tstnn = states
    package = {"args": [], "kwargs": {"hidden": 1, "stride": 4, "resample": 4}, "state": demucs}
    trees = [package, package, {"epoch": 3, "state_dict": manner}, {"model": tstnn}, demucs]
    huge = (torch.zeros(1).expand(10**12), torch.zeros(1, 1, 1).expand(10**6, 1, 8), torch.zeros(1, dtype=torch.int8))
    odd = (torch.zeros(()), torch.zeros(0), torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse())
    values = (*VALUES, *huge, *odd, *huge, *odd, torch.nn.Parameter(torch.ones(3)))

    def mutate(chance: Random) -> bytes:
        tree, file = chance.choice(trees), io.BytesIO()
        damaged = bool(chance.randrange(3))
        if damaged:
            tree = of_tree(chance, tree, values)
            if isinstance(tree, dict) and not chance.randrange(20):
                tree["model"] = tree  # inside itself
        torch.save(tree, file, _use_new_zipfile_serialization=bool(chance.randrange(4)))
        return file.getvalue() if damaged else of_bytes(chance, file.getvalue())

    return mutate


def _graphs(folder: Path, *files: Path, about: dict[str, str] | None = None) -> Mutate:
    graphs = [onnx.load(file) for file in files]
    for graph in graphs:
        onnx.helper.set_model_props(graph, about or {"sample_rate": str(RATE)})

    def mutate(chance: Random) -> bytes:
        graph = onnx.ModelProto()
        graph.CopyFrom(chance.choice(graphs))
        if graph.metadata_props and not chance.randrange(3):
            chance.choice(graph.metadata_props).value = str(chance.choice(VALUES)).replace("\ud800", "?")
            return graph.SerializeToString()
        return of_message(chance, graph)

    return mutate


def _external(folder: Path) -> Mutate:
    shapes = ([1, "T"], ["B", 1, "T"])
    waves = [lagging(folder / f"wave{number}", shape, 100) for number, shape in enumerate(shapes)]
    return _graphs(folder, *waves, held_back(folder / "held", 4000), held_back(folder / "held2", 8000))


def _spectra(folder: Path) -> Mutate:
    return _graphs(folder, spectral(folder / "frames"))


def _own(folder: Path) -> Mutate:
    about = {"name": "unet", "arguments": "{}", "sample_rate": str(RATE), "minimum_samples": "256"}
    return _graphs(folder, lagging(folder / "whole", [1, "samples"], 0), about=about)


def _stream(folder: Path) -> Mutate:
    about = {"name": "unet", "arguments": "{}", "sample_rate": str(RATE), "delay": "0"}
    return _graphs(folder, held_back(folder / "stream", 160), about=about)


def _enhance(path: Path) -> object:
    return open_model(path, threads=1)(np.zeros(1600, np.float32))


def _enhance_spectra(path: Path) -> object:
    return open_model(f"gtcrn:{path}", threads=1)(np.zeros(1600, np.float32))


def _cards(folder: Path) -> Mutate:
    spectral(folder / "frames.onnx")
    card = {"onnx": "frames.onnx", "stft": {"n_fft": 512, "hop": 256, "window": "hann"}, "sample_rate": 16000}
    return lambda chance: of_json(chance, chance.choice((card, {"preset": "gtcrn", "file": "frames.onnx"})))


MODELS = (
    Kind("checkpoint", "bad.safetensors", _checkpoints, _load),
    Kind("published checkpoint", "bad.th", _published, models.load),
    Kind("ONNX, of sordino", "bad.onnx", _own, _enhance),
    Kind("ONNX, of a stream", "bad.stream.onnx", _stream, _enhance),
    Kind("ONNX, of others", "bad.onnx", _external, _enhance),
    Kind("ONNX, of spectra", "bad.onnx", _spectra, _enhance_spectra),
    Kind("model card", "bad.json", _cards, _enhance),
)
