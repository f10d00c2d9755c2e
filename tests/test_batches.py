"""Batches: every item of an epoch once, shared out among processes, padded, and resumed anywhere."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from helpers.noise import hiss
from sordino.data.base import LazySequence, Segments
from sordino.data.loader import EpochBatches, collate, loader
from sordino.errors import InputError
from sordino.types import Item


def test_lazy_items_are_a_sequence():
    made = []

    def make(index: int) -> Item:
        made.append(index)
        return Item(np.zeros(index), None, index, str(index))

    items = LazySequence(10, make)
    assert made == []
    assert [item.id for item in items[7:]] == ["7", "8", "9"]
    assert items[-1].id == "9"
    with pytest.raises(IndexError):
        items[10]


def test_an_epoch_visits_every_item_once_and_resumes_anywhere():
    batches = list(EpochBatches(103, 8, seed=1, epoch=5))
    assert len(batches) == len(EpochBatches(103, 8, 1, 5)) == 12
    keys = [key for batch in batches for key in batch]
    assert {epoch for epoch, _ in keys} == {5}
    assert len({index for _, index in keys}) == 96
    assert list(EpochBatches(103, 8, 1, 5, start_batch=7)) == batches[7:]
    assert list(EpochBatches(103, 8, 1, 5, start_batch=12)) == []
    assert list(EpochBatches(103, 8, 1, 6)) != batches
    assert list(EpochBatches(103, 8, 2, 5)) != batches


def test_processes_share_an_epoch_without_overlap():
    parts = [list(EpochBatches(103, 8, 1, 0, rank=rank, ranks=3)) for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    keys = [key for part in parts for batch in part for key in batch]
    assert len(set(keys)) == len(keys) == 96
    assert list(EpochBatches(103, 8, 1, 0, start_batch=2, rank=1, ranks=3)) == parts[1][2:]


def test_batches_are_padded_and_know_which_items_have_references():
    items = [
        Item(hiss(0.01), hiss(0.01, seed=1), 160, "a"),
        Item(hiss(0.02), hiss(0.02, seed=1), 320, "b"),
    ]
    batch = collate(items)
    assert batch.noisy.shape == (2, 320)
    assert batch.noisy.dtype == torch.float32
    assert not batch.noisy[0, 160:].any()
    assert batch.lengths.tolist() == [160, 320]
    assert tuple(batch.ids) == ("a", "b")
    assert batch.labelled is None
    partly = collate([items[0]._replace(clean=None), items[1]])
    assert partly.clean is not None
    assert partly.labelled is not None
    assert partly.labelled.tolist() == [1]
    assert torch.equal(partly.part(partly.labelled).noisy, batch.noisy[1:])
    assert partly.part(partly.labelled).ids == ("b",)
    without = collate([item._replace(clean=None) for item in items])
    assert without.clean is None
    assert without.labelled is not None
    assert without.labelled.tolist() == []


def broken_recording(_rng: np.random.Generator, index: int) -> Item:
    raise InputError(f"take{index}.wav", "holds NaN samples")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_recording_is_reported_from_a_worker_too(workers: int) -> None:
    with pytest.raises(InputError, match=r"^take\d\.wav: holds NaN samples$"):
        next(loader(Segments(4, 0, broken_recording), 2, 0, 0, workers=workers))


def made_by(_rng: np.random.Generator, _index: int) -> Item:
    return Item(np.zeros(4, np.float32), None, 4, str(os.getpid()))


def test_epochs_follow_each_other_in_the_same_worker():
    segments = Segments(4, 0, made_by)
    batches = list(loader(segments, 2, 0, epoch=1, start_batch=1, workers=1, epochs=3))
    assert len(batches) == 1 + 2 + 2
    assert len({id for batch in batches for id in batch.ids} - {str(os.getpid())}) == 1


def test_epochs_have_the_batches_that_each_has_alone():
    def number(_rng: np.random.Generator, index: int) -> Item:
        return Item(np.zeros(4, np.float32), None, 4, str(index))

    segments = Segments(9, 0, number)
    together = [batch.ids for batch in loader(segments, 2, 3, epoch=2, start_batch=3, epochs=2)]
    alone = [batch.ids for batch in loader(segments, 2, 3, epoch=2, start_batch=3)]
    alone += [batch.ids for batch in loader(segments, 2, 3, epoch=3)]
    assert together == alone
