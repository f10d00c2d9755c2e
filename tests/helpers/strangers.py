"""Every kind of file that sordino reads from others: a good one, how it is damaged, and what reads it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random

import numpy as np
import torch
import yaml

from helpers.corpora import RATE, write_pairs
from helpers.kinds import Kind, Mutate
from helpers.mutations import encoded, of_bytes, of_json, of_safetensors, of_tree, of_yaml
from helpers.recipes import SOUND, UNET, recipe
from helpers.strange_models import MODELS
from sordino.data import manifest, sources
from sordino.data.archive import write_archive
from sordino.data.tools.render import render
from sordino.distill.methods import METHODS
from sordino.distill.teachers import CachedTeacher, ExternalTeacher
from sordino.evaluation.score import Scores
from sordino.experiments.recipe import read
from sordino.experiments.study_plan import read_study
from sordino.training import read_log
from sordino.training.state import load_state, save_state
from sordino.types import Batch, Item

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
    return lambda chance: of_safetensors(chance, content)


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
    *MODELS,
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
