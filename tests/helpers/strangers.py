"""Every kind of file that sordino reads from others: a good one, how it is damaged, and what reads it."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import onnx
import torch
import yaml

from helpers.corpora import RATE, write_pairs
from helpers.graphs import held_back, lagging, spectral
from helpers.mutations import VALUES, encoded, of_bytes, of_json, of_message, of_tree, of_yaml
from helpers.recipes import SOUND, UNET, recipe
from sordino import models
from sordino.data import manifest, sources
from sordino.data.archive import write_archive
from sordino.data.tools.render import render
from sordino.distill.methods import METHODS
from sordino.distill.teachers import CachedTeacher, ExternalTeacher
from sordino.evaluation.score import Scores
from sordino.evaluation.trained_on import trained_on
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import read_study
from sordino.inference.model import open_model
from sordino.models.published import FORMATS
from sordino.training import read_log
from sordino.training.state import load_state, save_state
from sordino.types import Batch, Item

Mutate = Callable[[Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: for people.
        file: its name in the folder where it is read.
        prepare: write what lies beside it into the folder; returns what makes a damaged file.
        read: all that sordino does with it.
    """

    name: str
    file: str
    prepare: Callable[[Path], Mutate]
    read: Callable[[Path], object]


def _checkpoints(folder: Path) -> Mutate:
    torch.manual_seed(0)
    samples = []
    small = {"name": "demucs", "hidden": 2, "depth": 2}, {"name": "dualpath", "width": 4, "blocks": 1}
    for arguments in (UNET, *small, {"name": "manner-s", "hidden": 3, "depth": 2}):
        models.save(models.create(**arguments), folder / "good.safetensors", recipe={"model": UNET}, step=7)
        samples.append((folder / "good.safetensors").read_bytes())
    return lambda chance: _safetensors(chance, chance.choice(samples))


def _safetensors(chance: Random, content: bytes) -> bytes:
    """Damage the header of a safetensors file, a text in JSON in it, or its bytes."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    about = dict(sorted(header.get("__metadata__", {}).items()))  # safetensors writes them in any order
    inner = [key for key in about if about[key].startswith("{")]
    way = chance.randrange(6)
    if way == 0:
        return of_bytes(chance, content[: 8 + size]) + content[8 + size :]
    if way < 4 and inner:
        key = chance.choice(inner)
        header["__metadata__"] = about | {key: of_json(chance, json.loads(about[key])).decode("utf-8", "replace")}
        text = json.dumps(header).encode()
    elif way < 5 and about:
        header["__metadata__"] = of_tree(chance, about)
        text = json.dumps(header).encode()
    else:
        text = of_json(chance, header)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


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


BATCH = Batch(torch.zeros(2, 1600), torch.zeros(2, 1600), torch.full((2,), 1600), ("a", "b"))


def _taught(folder: Path) -> object:
    """Read the cache of a teacher as the first batch of a run does."""
    load = lambda: ExternalTeacher(lambda noisy: noisy, "same", RATE)  # noqa: E731
    cached = CachedTeacher(load, folder, {"teacher": "same", "data.name": "zeros"})
    cached.keep([METHODS["output"]()], BATCH)
    return cached(BATCH)


def _cache(folder: Path) -> Mutate:
    _taught(folder)
    header = json.loads((folder / "cache.json").read_text("utf-8"))
    return lambda chance: of_json(chance, header)


def _answers(folder: Path) -> Mutate:
    _taught(folder)
    (row,) = folder.glob("??/*.safetensors")
    content = row.read_bytes()
    row.unlink()
    (folder / "row.safetensors").symlink_to(row)
    return lambda chance: _safetensors(chance, content)


def _shards(folder: Path) -> Mutate:
    wave = np.zeros(8000, np.float32)
    items = [(f"k{number}", Item(wave, wave, 8000, f"i{number}", "s")) for number in range(2)]
    write_archive(folder / "train-00000-of-00001.tar", items, RATE, [("i9", "was damaged")])
    index = json.loads((folder / "train-00000-of-00001.json").read_text("utf-8"))
    return lambda chance: of_json(chance, index)


def _read_shards(path: Path) -> object:
    segments = sources.Shards(str(path.parent), segment_s=0.25).train(0)
    return [segments[0, index] for index in range(min(len(segments), 4))]


def _render(folder: Path) -> object:
    source = sources.create("pairs", noisy=str(folder / "noisy"), clean=str(folder / "clean"), segment_s=1.0)
    return render(source, folder / "out", 1 / 3600, workers=1, about={"name": "pairs", "augment": {"a": [1, 2]}})


def _renderings(folder: Path) -> Mutate:
    write_pairs(folder, speakers=2, each=1)
    _render(folder)
    record = json.loads((folder / "out" / "render.json").read_text("utf-8"))
    return lambda chance: of_json(chance, record)


def _manifests(_folder: Path) -> Mutate:
    head = [*manifest.HEADER]
    rows = [[f"i{n}", f"noisy/{n}.wav", f"clean/{n}.wav", "s", "1.5", "train"] for n in range(3)]

    def mutate(chance: Random) -> bytes:
        lines = of_tree(chance, [head, *rows])
        lines = lines if isinstance(lines, list) else [lines]
        text = "\n".join(",".join(map(str, line)) if isinstance(line, list) else str(line) for line in lines)
        return encoded(chance, text) if chance.randrange(3) else of_bytes(chance, text.encode("utf-8", "replace"))

    return mutate


def _recipes(folder: Path) -> Mutate:
    good = recipe(folder)
    (folder / "base.yaml").write_text(yaml.safe_dump(good))
    balanced = {"weights": {"kd/output": {"balance": 0.5}, "loss/weighted": {"ramp": "linear", "steps": 10}}}
    several = {"mean": [{"callable": "a:b"}, "unet-24"], "cache": "kept", "draws": 2}
    valentini = {"name": "valentini", "root": "data", "augment": {"reverb": 0.5}, "snr_db": [0, 20]}
    trees = [good, {"base": "base.yaml", "title": "t", **balanced}, {**good, "teacher": several}]
    trees += [{**good, "data": valentini}, {"base": "unet/student", "train": {"steps": 3}}]
    return lambda chance: of_yaml(chance, chance.choice(trees))


def _studies(folder: Path) -> Mutate:
    small = {"data": SOUND, "model": UNET, "train": {"steps": 3}}
    (folder / "base.yaml").write_text(yaml.safe_dump(small))
    study = {"title": "t", "out": "runs/x", "recipe": "base.yaml", "seeds": [0, 1], "against": "none"}
    study |= {"scenarios": {"half": {"model": {"width": 2, "groups": 1}}}, "metrics": ["pesq_wb", "stoi"], "jobs": 1}
    study |= {"methods": {"none": {"teacher": None}, "l1": {"loss": {"l1": {}}}}, "note": "n"}
    study |= {"tests": {"own": {"paper": 1}, "DNS": {"noisy": "a", "clean": "b"}}}
    study |= {"paper": {"none": "MANNER-S-1.5GF (Baseline)"}}
    return lambda chance: of_yaml(chance, study)


def _scores(_folder: Path) -> Mutate:
    rows = [{"id": f"i{n}", "speaker": "s", "seconds": 1.5, "pesq_wb": 2.5, "stoi": 0.9} for n in range(3)]
    failures = [{"id": "i9", "metric": "stoi", "reason": "too short"}]
    tree = {"metadata": {"model": "m", "perceptual": False}, "metrics": ["pesq_wb", "stoi"]}
    tree |= {"failures": failures, "rows": rows}
    return lambda chance: of_json(chance, tree)


def _read_scores(path: Path) -> object:
    return Scores.from_json(path).means()


def _logs(_folder: Path) -> Mutate:
    lines = [{"step": step, "loss/weighted": 0.5, "valid/pesq_wb": 2.5} for step in (1, 2)]
    return lambda chance: b"\n".join(of_json(chance, line) for line in lines) + b"\n"


def _states(folder: Path) -> Mutate:
    state = {"step": 3, "judge": {"select": {}, "best": None}, "network": {"a": torch.zeros(3)}, "optimizer": {}}
    save_state(folder, state)
    tree = torch.load(folder / "state.pt", weights_only=True)

    def mutate(chance: Random) -> bytes:
        file = io.BytesIO()
        torch.save(of_tree(chance, tree) if chance.randrange(2) else tree, file)
        return file.getvalue() if chance.randrange(2) else of_bytes(chance, file.getvalue())

    return mutate


KINDS = (
    Kind("checkpoint", "bad.safetensors", _checkpoints, _load),
    Kind("published checkpoint", "bad.th", _published, models.load),
    Kind("ONNX, of sordino", "bad.onnx", _own, _enhance),
    Kind("ONNX, of a stream", "bad.stream.onnx", _stream, _enhance),
    Kind("ONNX, of others", "bad.onnx", _external, _enhance),
    Kind("ONNX, of spectra", "bad.onnx", _spectra, _enhance_spectra),
    Kind("model card", "bad.json", _cards, _enhance),
    Kind("cache of a teacher", "cache.json", _cache, lambda path: _taught(path.parent)),
    Kind("answers in a cache", "row.safetensors", _answers, lambda path: _taught(path.parent)),
    Kind("index of a shard", "train-00000-of-00001.json", _shards, _read_shards),
    Kind("record of a rendering", "out/render.json", _renderings, lambda path: _render(path.parent.parent)),
    Kind("manifest", "bad.csv", _manifests, manifest.files),
    Kind("recipe", "bad.yaml", _recipes, read),
    Kind("study", "bad.yaml", _studies, read_study),
    Kind("scores", "bad.json", _scores, _read_scores),
    Kind("log", "log.jsonl", _logs, lambda path: read_log(path.parent)),
    Kind("state of a training", "state.pt", _states, lambda path: load_state(path.parent)),
)
