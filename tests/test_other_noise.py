"""A teacher's features under another noise: the mixtures against a slow version, and the teacher in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.noise import noise
from helpers.recipes import settings
from sordino import models
from sordino.distill.teachers import JointTeacher, OtherNoiseTeacher, Teacher
from sordino.distill.teachers.other_noise import with_other_noise
from sordino.errors import InputError
from sordino.experiments import run as recipes
from sordino.experiments.build import build_trainer
from sordino.experiments.dry_run import CACHE_HINT, dry_run
from sordino.experiments.recipe import Recipe, read
from sordino.experiments.teacher import build_teacher
from sordino.experiments.teacher_remarks import idle
from sordino.types import Batch

LENGTHS = (4000, 2500, 4000)


def batch_of(has_clean: list[bool] | None = None) -> Batch:
    """Three items, the second shorter, with noises of different powers."""
    lengths = torch.tensor(LENGTHS)
    inside = (torch.arange(4000) < lengths[:, None]).float()
    clean = 0.1 * noise(3, 4000, seed=1) * inside
    noisy = clean + torch.tensor([[0.01], [0.1], [0.03]]) * noise(3, 4000, seed=2) * inside
    known = None if has_clean is None else torch.tensor(has_clean)
    if known is not None:
        clean = clean * known[:, None]
    return Batch(noisy, clean, lengths, ("a", "b", "c"), known)


def test_each_item_has_the_noise_of_the_next_at_the_power_of_its_own() -> None:
    batch = batch_of()
    assert batch.clean is not None
    mixed, added = with_other_noise(batch), batch.noisy - batch.clean
    for item, length in enumerate(LENGTHS):
        own, other = added[item, :length], added[(item + 1) % 3, :length]
        wanted = batch.clean[item, :length] + other * own.norm() / other.norm()
        torch.testing.assert_close(mixed[item, :length], wanted, rtol=1e-4, atol=1e-6)
        assert not mixed[item, length:].any()


def test_items_without_a_reference_or_without_noise_stay_as_they_are() -> None:
    batch = batch_of([True, True, False])
    mixed = with_other_noise(batch)
    assert torch.equal(mixed[1:], batch.noisy[1:]), "the noise of the third is not known"
    assert not torch.equal(mixed[0], batch.noisy[0])
    batch = batch_of()
    assert batch.clean is not None
    noisy = batch.noisy.clone()
    noisy[1] = batch.clean[1]
    mixed = with_other_noise(replace(batch, noisy=noisy))
    assert torch.equal(mixed[:2], noisy[:2])
    assert torch.isfinite(mixed).all()


def test_features_are_mixed_and_the_estimate_is_not() -> None:
    batch, plain = batch_of(), Teacher(models.create("unet", width=8))
    other = plain(replace(batch, noisy=with_other_noise(batch)), ["latent"]).feats["latent"]
    own = plain(batch, ["latent"])
    view = OtherNoiseTeacher(plain, 0.25)(batch, ["latent"])
    assert torch.equal(view.wave, own.wave)
    torch.testing.assert_close(view.feats["latent"], 0.75 * own.feats["latent"] + 0.25 * other)
    assert not torch.allclose(other, own.feats["latent"], rtol=0.01)
    assert torch.equal(
        OtherNoiseTeacher(plain, 1.0)(replace(batch, clean=None), ["latent"]).feats["latent"], own.feats["latent"]
    )


def recipe(**teacher: Any) -> dict[str, Any]:
    return {
        "data": {"name": "synthetic", "segment_s": 0.5},
        "model": {"name": "unet", "width": 4},
        "loss": {"l1": {}},
        "teacher": teacher,
        "distill": {"cosine": {}, "fitnets": {}},
        "train": settings(2),
    }


def test_a_student_learns_from_it(tmp_path: Path) -> None:
    models.save(models.create("unet", width=8), tmp_path / "teacher.safetensors")
    path = str(tmp_path / "teacher.safetensors")
    assert isinstance(build_teacher(read(recipe(checkpoint=path, other_noise=0.5)), 16000), OtherNoiseTeacher)
    joint = build_teacher(read(recipe(checkpoint=path, other_noise=0.5, estimate=path)), 16000)
    assert isinstance(joint, JointTeacher)
    assert isinstance(joint.features, OtherNoiseTeacher)
    tried = dry_run(recipe(checkpoint=path, other_noise=0.5))
    assert not any("cache" in line for line in (*tried.teacher, tried.hint)), "which it cannot have"
    assert dry_run(recipe(checkpoint=path), ["train.steps=100000"]).hint == CACHE_HINT
    assert dry_run(recipe(checkpoint=path)).hint == "", "there is one epoch"
    recipes.train(recipe(checkpoint=path, other_noise=0.5), [], tmp_path / "run")
    assert (tmp_path / "run" / "last.safetensors").is_file()


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"checkpoint": "unet-24", "other_noise": 0.5, "cache": "answers"}, "other_noise: depends on which items"),
        ({"callable": "numpy:tanh", "other_noise": 0.5}, "other_noise: does not go with callable"),
        ({"checkpoint": "unet-24", "estimate": {"checkpoint": "unet-24", "other_noise": 0.5}}, "belongs to the whole"),
        ({"checkpoint": "unet-24", "other_noise": 1.5}, "other_noise: a share of 1.5; expected above 0, at most 1"),
    ],
)
def test_what_does_not_go_with_it_is_refused(teacher: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_teacher(read(recipe(**teacher)), 16000)


def test_where_it_does_nothing_a_line_says_so(tmp_path: Path) -> None:
    def lines(checked: Recipe) -> list[str]:
        return idle(checked, build_trainer(checked, tmp_path).objective.methods.values())

    values = recipe(checkpoint="unet-24", other_noise=0.5)
    assert lines(read(values)) == []
    (alone,) = lines(read(values, ["train.batch_size=1"]))
    assert "a batch of one recording has no other noise" in alone
    (unread,) = lines(read(values, layers=[{"distill": dict.fromkeys(values["distill"]) | {"output": {}}}]))
    assert "no method reads features" in unread
    without_clean = idle(read(values), build_trainer(read(values), tmp_path).objective.methods.values(), "none")
    assert "the noise is known by clean speech alone" in without_clean[0]


def test_an_estimate_that_no_method_reads_is_reported(tmp_path: Path) -> None:
    values = recipe(checkpoint="unet-24", estimate="dualpath-14")
    checked = read(values)
    (line,) = idle(checked, build_trainer(checked, tmp_path).objective.methods.values())
    assert line.startswith("teacher.estimate: does nothing but take time")
    both = read(values, layers=[{"distill": {"output": {}}}])
    assert idle(both, build_trainer(both, tmp_path).objective.methods.values()) == []
