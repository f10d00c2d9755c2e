"""The teacher's cache: what it keeps, that a loss from it is the live one, and what it survives and refuses."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from sordino import models
from sordino.distill.base import Method
from sordino.distill.methods import METHODS
from sordino.distill.methods.at import AttentionMap, attention_map
from sordino.distill.teachers import CachedTeacher, ExternalTeacher, Teacher, observe
from sordino.distill.teachers.outputs import WAVE, Whole, needs
from sordino.distill.teachers.store import Store, size_of
from sordino.errors import InputError
from sordino.json_files import write_json
from sordino.models import Enhancer
from sordino.types import Batch, View

HALF_PRECISION = 2e-4
"""Share of a loss by which one from half-precision answers may differ from the live one."""
ANGLES = {"rkd": 2e-2}
"""The angle between two frames that are nearly the same hangs on their last bits."""
FACTS = {"teacher": "its weights", "data.name": "noise"}


def batch_of(seed: int = 0, count: int = 3, samples: int = 1600) -> Batch:
    """Noise that stands for speech; the items of another seed are others."""
    generator = torch.Generator().manual_seed(seed)
    clean, more = (0.1 * torch.randn(count, samples, generator=generator) for _ in range(2))
    return Batch(clean + more, clean, torch.full((count,), samples), tuple(f"item {i}" for i in range(count)))


def pair() -> tuple[Enhancer, Teacher]:
    torch.manual_seed(0)
    student = models.create("manner-s", hidden=6, depth=2)
    return student.eval(), Teacher(models.create("manner-b", hidden=6, depth=3))


def ready(name: str, student: Enhancer, teacher: Teacher, batch: Batch) -> Method:
    """A method that knows the taps and the sizes of both networks, in eval mode so that it says the same twice."""
    method = METHODS[name]()
    method.connect(student.taps, teacher.taps)
    torch.manual_seed(7)
    with torch.no_grad():
        method.prepare(observe(student, batch.noisy, method.student_taps), teacher(batch, method.teacher_taps))
    return method.eval()


def never() -> Teacher:
    raise AssertionError("the teacher was loaded")


def kept(folder: Path, teacher: Any, *methods: Method, batch: Batch, facts: Any = FACTS, **options: Any) -> Any:
    cached = CachedTeacher(teacher if teacher is never else lambda: teacher, folder, facts, **options)
    cached.keep(methods, batch)
    return cached


def answers(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in sorted(folder.glob("??/[!.]*.safetensors"))}


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


def test_a_value_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    teacher, batch = ExternalTeacher(lambda noisy: noisy * 1e6, "loud", 16000), batch_of()
    with pytest.raises(InputError, match="half precision"):
        kept(tmp_path, teacher, METHODS["output"](), batch=batch)(batch)
    assert not list(tmp_path.rglob("*.safetensors"))


# What is refused


def test_a_stale_cache_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    student, teacher = pair()
    batch, longer = batch_of(), batch_of(samples=2400)
    mvat, at = (ready(name, student, teacher, batch) for name in ("mvat", "at"))
    kept(tmp_path, teacher, mvat, batch=batch)(batch, mvat.teacher_taps)
    before = answers(tmp_path)
    with pytest.raises(InputError, match=r"teacher was 'its weights' .* is 'others'"):
        kept(tmp_path, never, mvat, batch=batch, facts={**FACTS, "teacher": "others"})
    with pytest.raises(InputError, match=r"data\.tempo was None"):
        kept(tmp_path, never, mvat, batch=batch, facts={**FACTS, "data.tempo": [0.9, 1.1]})
    with pytest.raises(InputError, match=r"decoder\.1 was None when .* is 'AttentionMap\(\)'"):
        kept(tmp_path, never, at, batch=batch)
    with pytest.raises(InputError, match=r"samples was 1600 .* is 2400"):
        kept(tmp_path, never, ready("mvat", student, teacher, longer), batch=longer)
    assert answers(tmp_path).keys() == before.keys()
    for other in (99, 1, None):
        write_json(tmp_path / "cache.json", {"format": other})
        with pytest.raises(InputError, match=r"another version.*delete the folder"):
            kept(tmp_path, never, mvat, batch=batch)


def test_answers_of_another_format_are_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = pair()
    batch, method = batch_of(), ready("mvat", student, teacher, batch_of())
    with monkeypatch.context() as before:
        for module in ("store", "keys"):
            before.setattr(f"sordino.distill.teachers.{module}.FORMAT", 1)
        kept(tmp_path, teacher, method, batch=batch)(batch, method.teacher_taps)
    (tmp_path / "cache.json").unlink()  # as if the old header had been lost or overwritten
    kept(tmp_path, teacher, method, batch=batch)(batch, method.teacher_taps)
    assert len(answers(tmp_path)) == 2 * len(batch.ids)


def test_a_function_that_answers_otherwise_is_found_out(tmp_path: Path) -> None:
    batch, method = batch_of(), METHODS["output"]()

    def times(factor: float) -> ExternalTeacher:
        return ExternalTeacher(lambda noisy: noisy * np.float32(factor), "function", 16000)

    kept(tmp_path, times(0.5), method, batch=batch, verify=True)(batch)
    kept(tmp_path, times(0.5), method, batch=batch, verify=True)
    with pytest.raises(InputError, match="no longer those that were stored"):
        kept(tmp_path, times(0.6), method, batch=batch, verify=True)


def test_the_first_answer_is_judged_with_the_clean_speech_that_training_has(tmp_path: Path) -> None:
    batch, method, judged = batch_of(), METHODS["output"](), []

    class Judge:
        name, sample_rate, taps = "the best of two", 16000, {}

        def to(self, device: torch.device) -> Judge:
            return self

        def __call__(self, one: Batch, taps: Iterable[str] = ()) -> View:
            judged.append(None if one.clean is None else one.clean.clone())
            return View(one.noisy / 2)

    kept(tmp_path, Judge(), method, batch=batch, verify=True)(batch)
    kept(tmp_path, Judge(), method, batch=batch, verify=True)
    assert len(judged) == 3  # the first item, the whole batch, and in the second run the first item again
    assert all(one is not None and torch.equal(one[0], batch.clean[0]) for one in judged)


def test_a_damaged_answer_is_reported(tmp_path: Path) -> None:
    teacher, batch, method = pair()[1], batch_of(), METHODS["output"]()
    cached = kept(tmp_path, teacher, method, batch=batch)
    cached(batch)
    path = next(tmp_path.glob("??/*.safetensors"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged answer"):
        cached(batch)
    path.unlink()
    cached(batch)
    assert len(answers(tmp_path)) == len(batch.ids)


def test_an_answer_that_decayed_or_changed_its_name_is_refused(tmp_path: Path) -> None:
    store, answer = Store(tmp_path), {"wave": torch.linspace(-1, 1, 100).half()}
    for key in ("aa01", "aa02"):
        store.write(key, answer)
    one, other = (tmp_path / "aa" / f"{key}.safetensors" for key in ("aa01", "aa02"))
    assert torch.equal(store.read_all(["aa01"])["aa01"]["wave"], answer["wave"])
    whole = one.read_bytes()
    one.write_bytes(whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:])  # one bit of a sample, which no header shows
    with pytest.raises(InputError, match=r"aa01.*damaged answer.*checksum"):
        store.read("aa01")
    one.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=r"aa01.*damaged answer.*checksum"):
        store.read("aa01")
    for content in (save(answer), save(answer).replace(b'{"wave"', b'{"__metadata__":null,"wave"')):
        size = content.index(b"}}") + 2 - 8
        one.write_bytes(size.to_bytes(8, "little") + content[8 : 8 + size] + save(answer)[-200:])
        assert torch.equal(store.read_all(["aa01"])["aa01"]["wave"], answer["wave"]), "as older versions wrote it"


def test_the_size_is_known_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, batch, method = pair()[1], batch_of(), METHODS["output"]()
    folder = tmp_path / "not" / "yet"
    cached = kept(folder, teacher, method, batch=batch)
    planned = cached.plan(1000)
    assert not folder.exists()
    cached(batch)
    sizes = [path.stat().st_size for path in folder.glob("??/*.safetensors")]
    assert (
        planned.bytes // 1000 - 4096
        < sizes[0]
        <= planned.bytes // 1000
        == size_of(next(iter(answers(folder).values())))
    )
    assert cached.plan(1000) == (len(batch.ids), 1000, planned.bytes // 1000 * (1000 - len(batch.ids)))
    monkeypatch.setattr(Store, "free", lambda _self: planned.bytes // 2)
    with pytest.raises(InputError, match=r"1,000 more answers take .* GB are free"):
        kept(tmp_path / "other", teacher, method, batch=batch).plan(1000)


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
