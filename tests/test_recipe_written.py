"""Recipes as they are written: those of older versions are read, and all of them written as they were."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import yaml

from helpers.recipes import DISTILLED, PLAIN, write_recipe
from sordino.errors import InputError
from sordino.experiments.recipe import read
from sordino.experiments.run_recipe import RECIPE, same_recipe
from sordino.experiments.schema import TeacherSection
from sordino.training import Balance, Ramp, Settings, Stage


def test_what_is_read_can_be_read_again() -> None:
    recipe = read(DISTILLED)
    assert read(recipe) == read(recipe.to_mapping()) == recipe


WRITTEN = """\
title: a trial
out: runs/x
data:
  name: mix
  clean: c
  noise: n
  snr_db:
  - 0.0
  - 10.0
  tempo: null
  augment:
    rumble: 0.9
    bursts_db:
    - 0.0
    - 6.0
  exclude:
  - a
model:
  name: unet
  width: 8
teacher:
  checkpoint: t.safetensors
  estimate: a:b
  cache: c
  draws: 2
loss:
  multi_resolution:
    spectral_weight: 1.0
  l1: {}
distill:
  similarity:
    axes:
    - batch
    - frame_batch
  output:
    loss: l1
weights:
  kd/output:
    balance: 1.0
  kd/similarity:
    ramp: cosine
    steps: 7
  loss/l1: 2.0
stages:
- share: 0.5
  weights:
    loss/l1: 0.0
    kd/output:
      ramp: linear
      steps: 3
      end: 2.0
- reset: true
  weights: {}
train:
  steps: 10
  max_lr: 1.0
  select:
    estoi: 2.0
  grad_clip: null
unlabelled:
  noisy: r
  share: 1.0
paper:
  table: 1
  row: MANNER-S-1.5GF + MV-AT
"""
"""A ``recipe.yaml`` of version 0.1, which knew recipes as mappings only."""


def test_a_recipe_of_an_older_version_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    recipe = read(write_recipe(tmp_path, RECIPE, WRITTEN))
    assert recipe.data.arguments["snr_db"] == (0.0, 10.0)
    assert recipe.weights == {"kd/output": Balance(1.0), "kd/similarity": Ramp("cosine", 7), "loss/l1": 2.0}
    first, second = recipe.stages
    assert first == Stage(0.5, weights={"loss/l1": 0.0, "kd/output": Ramp("linear", 3, end=2.0)})
    assert second == Stage(reset=True)
    assert recipe.train == Settings(steps=10, max_lr=1.0, select={"estoi": 2.0})
    assert recipe.teacher == TeacherSection("t.safetensors", estimate="a:b", cache="c", draws=2)
    assert yaml.safe_dump(recipe.to_mapping(), sort_keys=False) == WRITTEN
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    same_recipe(tmp_path, read(recipe, ["train.workers=3", "title=another"]))
    with pytest.raises(InputError, match=r"weights\.kd/similarity\.steps is 8, but the run began with 7"):
        same_recipe(tmp_path, read(recipe, ["weights.kd/similarity.steps=8"]))
    with pytest.raises(InputError, match=r"train\.validate_items is 5, but the run began with null; expected the same"):
        same_recipe(tmp_path, read(recipe, ["train.validate_items=5"]))


def test_a_recipe_cannot_be_changed() -> None:
    recipe = read(PLAIN)
    with pytest.raises(FrozenInstanceError):
        recipe.title = "another"  # pyright: ignore[reportAttributeAccessIssue]
