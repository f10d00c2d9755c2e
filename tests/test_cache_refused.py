"""What the teacher's cache refuses: answers of other teachers, other data or other formats, and damaged ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from helpers.caches import FACTS, answers, batch_of, kept, never, pair, ready
from sordino.distill.methods import METHODS
from sordino.distill.teachers import ExternalTeacher
from sordino.distill.teachers.store import Store, size_of
from sordino.errors import InputError
from sordino.json_files import write_json
from sordino.types import Batch, View


def test_a_value_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    teacher, batch = ExternalTeacher(lambda noisy: noisy * 1e6, "loud", 16000), batch_of()
    with pytest.raises(InputError, match="half precision"):
        kept(tmp_path, teacher, METHODS["output"](), batch=batch)(batch)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stale_cache_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    student, teacher = pair()
    batch, longer = batch_of(), batch_of(samples=2400)
    mvat, at = (ready(name, student, teacher, batch) for name in ("mvat", "at"))
    kept(tmp_path, teacher, mvat, batch=batch)(batch, mvat.teacher_taps)
    before = answers(tmp_path)
    with pytest.raises(InputError, match=r"teacher was 'its weights' .* is 'others'"):
        kept(tmp_path, never, mvat, batch=batch, facts={**FACTS, "teacher": "others"})
    with pytest.raises(InputError, match=r"data\.tempo was null"):
        kept(tmp_path, never, mvat, batch=batch, facts={**FACTS, "data.tempo": [0.9, 1.1]})
    with pytest.raises(InputError, match=r"decoder\.1 was null when .* is 'AttentionMap\(\)'"):
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
    other = Batch(-batch.noisy, None, batch.lengths, batch.ids)
    assert kept(folder, teacher, method, batch=other).plan(1000) == planned, "the answers are of other mixtures"
    cached = kept(folder, teacher, method, batch=batch)
    assert cached.plan(1000) == (len(batch.ids), 1000, planned.bytes // 1000 * (1000 - len(batch.ids)))
    monkeypatch.setattr(Store, "free", lambda _self: planned.bytes // 2)
    with pytest.raises(InputError, match=r"1,000 more answers take .* GB are free"):
        kept(tmp_path / "other", teacher, method, batch=batch).plan(1000)
