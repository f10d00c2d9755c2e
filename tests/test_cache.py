"""The teacher's cache: what it keeps, that a loss from it is the live one, and many who write it at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch

from helpers.caches import answers, batch_of, kept, never, pair, ready
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import AttentionMap, attention_map
from sordino.distill.teachers import Teacher, observe
from sordino.distill.teachers.outputs import WAVE, Whole, needs
from sordino.errors import InputError
from sordino.types import Batch, View

HALF_PRECISION = 2e-4
"""Share of a loss by which one from half-precision answers may differ from the live one."""
ANGLES = {"rkd": 2e-2}
"""The angle between two frames that are nearly the same hangs on their last bits."""

# What is kept


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_from_a_cache_is_the_live_one_to_half_precision(name: str, tmp_path: Path) -> None:
    student, teacher = pair()
    batch = batch_of()
    method = ready(name, student, teacher, batch)
    cached = kept(tmp_path, teacher, method, batch=batch)
    view = observe(student, batch.noisy, method.student_taps)
    live = method(view, teacher(batch, method.teacher_taps), batch)
    first = method(view, cached(batch, method.teacher_taps), batch)
    again = kept(tmp_path, never, method, batch=batch)
    second = method(view, again(batch, method.teacher_taps), batch)
    assert first.item() == second.item()
    assert first.item() == pytest.approx(live.item(), rel=ANGLES.get(name, HALF_PRECISION))
    assert len(answers(tmp_path)) == len(batch.ids)
    assert all(value.dtype == torch.float16 for answer in answers(tmp_path).values() for value in answer.values())


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_whether_they_read_the_estimate(name: str) -> None:
    student, teacher = pair()
    batch = batch_of()
    method = ready(name, student, teacher, batch)
    view, target = observe(student, batch.noisy, method.student_taps), teacher(batch, method.teacher_taps)
    without = method(view, View(torch.full_like(target.wave, torch.nan), target.feats), batch)
    # Where a method asks whether the teacher is better, NaN is not.
    differs = not torch.isfinite(without) or without.item() != method(view, target, batch).item()
    assert differs == method.needs_estimate


def test_maps_of_mvat_are_kept_without_channels_and_on_the_frames_of_the_teacher(tmp_path: Path) -> None:
    student, teacher = pair()
    batch = batch_of()
    method = ready("mvat", student, teacher, batch)
    cached = kept(tmp_path, teacher, method, batch=batch)
    cached(batch, method.teacher_taps)
    features = teacher(batch, method.teacher_taps).feats
    answer = next(iter(answers(tmp_path).values()))
    assert {name: tuple(value.shape) for name, value in answer.items()} == {
        tap: (1, feature.shape[2]) for tap, feature in features.items()
    }
    assert cached.taps == teacher.taps
    for feature in features.values():
        reduced = AttentionMap()(feature)
        assert torch.allclose(attention_map(reduced), attention_map(feature), atol=1e-6)
        cropped, length = slice(1, -2), feature.shape[2] // 2
        assert torch.allclose(
            attention_map(reduced[:, :, cropped], length=length),
            attention_map(feature[:, :, cropped], length=length),
            atol=1e-6,
        )


def test_two_methods_share_a_tap_reduced_only_if_they_agree() -> None:
    student, teacher = pair()
    batch = batch_of()
    at, mvat, fitnets, output = (ready(name, student, teacher, batch) for name in ("at", "mvat", "fitnets", "output"))
    assert needs([mvat]) == mvat.reductions
    assert all(isinstance(one, AttentionMap) for one in needs([at, at]).values())
    mixed = needs([at, fitnets, output])
    assert mixed[WAVE] == Whole()
    assert all(mixed[tap] == Whole() for tap in fitnets.teacher_taps)
    assert needs([fitnets, at, output]) == mixed


def test_a_method_that_reads_less_shares_the_folder_of_more(tmp_path: Path) -> None:
    student, teacher = pair()
    batch, other = batch_of(), batch_of(seed=1)
    mvat, output, at = (ready(name, student, teacher, batch) for name in ("mvat", "output", "at"))
    more = kept(tmp_path, teacher, mvat, output, batch=batch)(batch, mvat.teacher_taps)
    less = kept(tmp_path, never, mvat, batch=batch)(batch, mvat.teacher_taps)
    for tap in mvat.teacher_taps:
        torch.testing.assert_close(less.feats[tap], more.feats[tap], rtol=0, atol=0)
    kept(tmp_path, teacher, mvat, batch=batch)(other, mvat.teacher_taps)
    both = answers(tmp_path)
    assert len(both) == 2 * len(batch.noisy)
    assert all(set(answer) == {WAVE, *mvat.teacher_taps} for answer in both.values())
    # What is reduced cannot be made again without the method that reduced it: the folder is read, and not written.
    torch.testing.assert_close(kept(tmp_path, never, output, batch=batch)(batch).wave, more.wave, rtol=0, atol=0)
    third = batch_of(seed=2)
    reader = kept(tmp_path, teacher, output, batch=batch)
    torch.testing.assert_close(reader(third).wave, teacher(third).wave, rtol=0, atol=1e-3)
    assert reader.plan(100).bytes == 0
    assert answers(tmp_path).keys() == both.keys()
    with pytest.raises(InputError, match="AttentionMap"):
        kept(tmp_path, never, at, output, batch=batch)


def test_an_estimate_that_nobody_declared_to_read_is_not_a_number(tmp_path: Path) -> None:
    student, teacher = pair()
    batch, other = batch_of(), batch_of(samples=800)
    method = ready("mvat", student, teacher, batch)
    cached = kept(tmp_path, teacher, method, batch=batch)
    assert cached(batch, method.teacher_taps).wave.isnan().all()
    # Asked for nothing else, it comes from the teacher; so does the answer to speech of another length.
    assert torch.equal(cached(batch).wave, teacher(batch).wave)
    assert torch.equal(cached(other, method.teacher_taps[:1]).wave, teacher(other).wave)
    assert len(answers(tmp_path)) == len(batch.ids)


def test_other_speech_under_the_same_name_gets_another_answer(tmp_path: Path) -> None:
    student, teacher = pair()
    batch = batch_of()
    method = ready("output", student, teacher, batch)
    cached = kept(tmp_path, teacher, method, batch=batch)
    cached(batch)
    changed = Batch(batch.noisy.clone(), batch.clean, batch.lengths, batch.ids)
    changed.noisy[1, 5] += 1e-4
    assert torch.equal(cached(changed).wave.half(), teacher(changed).wave.half())
    assert len(answers(tmp_path)) == len(batch.ids) + 1


# Many at once


def _fill(folder: Path, teacher: Teacher, method: Method, order: list[int]) -> None:
    torch.set_num_threads(1)
    cached = kept(folder, teacher, method, batch=batch_of())
    for seed in order:
        cached(batch_of(seed), method.teacher_taps)


def test_writers_side_by_side_leave_what_one_would_have_left(tmp_path: Path) -> None:
    student, teacher = pair()
    method = ready("mvat", student, teacher, batch_of())
    fork = multiprocessing.get_context("fork")
    orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 1, 2, 3, 4]]
    running = [fork.Process(target=_fill, args=(tmp_path / "many", teacher, method, order)) for order in orders]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert [one.exitcode for one in running] == [0, 0, 0]
    _fill(tmp_path / "one", teacher, method, orders[0])
    many, alone = answers(tmp_path / "many"), answers(tmp_path / "one")
    assert many.keys() == alone.keys()
    assert all(torch.equal(many[name][tap], alone[name][tap]) for name in alone for tap in alone[name])
    assert not list((tmp_path / "many").rglob(".*"))
