"""Several teachers as one: their mean, or the best for each recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sordino.distill.teachers.external import ExternalTeacher
from sordino.distill.teachers.several import SeveralTeachers
from sordino.errors import InputError
from sordino.metrics.ratios import si_sdr_db
from sordino.types import Batch

RATE = 16000


def scaled(gain: float, rate: int = RATE) -> ExternalTeacher:
    return ExternalTeacher(lambda noisy: gain * noisy, f"times {gain}", rate)


def batch_of(clean: bool = True, has_clean: list[bool] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(3, 800, generator=generator)
    noisy = speech + 0.05 * torch.randn(3, 800, generator=generator)
    lengths = torch.tensor([800, 600, 800])
    known = None if has_clean is None else torch.tensor(has_clean)
    return Batch(noisy, speech if clean else None, lengths, has_clean=known)


def test_the_mean_is_the_mean() -> None:
    batch = batch_of()
    teacher = SeveralTeachers([scaled(0.5), scaled(0.25), scaled(0.75)])
    torch.testing.assert_close(teacher(batch).wave, 0.5 * batch.noisy)
    assert teacher.name == "the mean of times 0.5, times 0.25, times 0.75"
    assert not teacher.taps


def test_the_best_is_chosen_for_each_item_by_its_own_samples() -> None:
    batch = batch_of()
    halves = ExternalTeacher(
        lambda noisy: np.where(np.arange(len(noisy)) < 600, noisy, -noisy), "wrong at the end", RATE
    )
    quiet = scaled(0.5)

    def difference(estimate: np.ndarray, clean: np.ndarray | None) -> float:
        assert clean is not None
        return -float(np.mean((estimate - clean) ** 2))

    estimate = SeveralTeachers([quiet, halves], difference)(batch).wave
    torch.testing.assert_close(
        estimate[1, :600], batch.noisy[1, :600]
    )  # its padding, which halves get wrong, is not its
    torch.testing.assert_close(estimate[0], 0.5 * batch.noisy[0])
    torch.testing.assert_close(estimate[2], 0.5 * batch.noisy[2])


@pytest.mark.parametrize(
    ("clean", "has_clean", "expected"), [(False, None, [True] * 3), (True, [True, False, True], [False, True, False])]
)
def test_an_item_without_a_reference_is_judged_without_one(clean, has_clean, expected) -> None:
    seen = []

    def measure(estimate: np.ndarray, reference: np.ndarray | None) -> float:
        seen.append(reference is None)
        return 0.0 if reference is None else si_sdr_db(reference, estimate)

    SeveralTeachers([scaled(1.0), scaled(0.5)], measure)(batch_of(clean, has_clean))
    assert seen == [one for one in expected for _ in range(2)]


def test_members_must_fit_and_show_no_features() -> None:
    with pytest.raises(InputError, match="1 at 16000 Hz; expected two or more"):
        SeveralTeachers([scaled(1.0)])
    with pytest.raises(InputError, match="2 at 8000 and 16000 Hz"):
        SeveralTeachers([scaled(1.0), scaled(1.0, 8000)])
    with pytest.raises(InputError, match=r"latent.*shows its estimate alone"):
        SeveralTeachers([scaled(1.0), scaled(0.5)])(batch_of(), ["latent"])
