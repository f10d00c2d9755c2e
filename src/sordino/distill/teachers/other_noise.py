"""A teacher's features of the same clean speech under another noise, mixed with those of the noisy signal itself.

Gholami, El-Khamy, Song: "Knowledge Distillation for Tiny Speech Enhancement with Latent Feature Augmentation",
Interspeech 2024. Its abstract, all that was at hand, says that the teacher's latent features are augmented, and gives
no equation. Our reading: what two noises have in common in a latent is the speech, so the target is

    (1 - a) F(s_i + n_i) + a F(s_i + g n_j),

where F are the teacher's features, s_i is the clean speech of item i, n_i its noise, n_j the noise of the item after it
in the batch, and g brings n_j to the power of n_i. Any method on features learns from it. The estimate stays that of
the noisy signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sordino.distill.teachers.network import AnyTeacher
from sordino.errors import InputError
from sordino.types import Batch, Tap, View

SILENCE = 1e-10
"""Energy per sample up to which a noise counts as silence."""


class OtherNoiseTeacher:
    """Teacher whose features are mixed over two noises. It runs twice on a batch whose features are read.

    Args:
        teacher: gives the features and the estimate.
        share: a, of the features under the other noise, above 0, at most 1.

    Raises:
        InputError: a share out of range.
    """

    def __init__(self, teacher: AnyTeacher, share: float) -> None:
        if not 0 < share <= 1:
            raise InputError("teacher.other_noise", f"a share of {share}", "above 0, at most 1")
        self.teacher, self.share = teacher, share
        self.name, self.sample_rate = teacher.name, teacher.sample_rate
        self.taps: Mapping[str, Tap] = teacher.taps

    def to(self, device: torch.device) -> OtherNoiseTeacher:
        """Move the teacher; return self."""
        self.teacher.to(device)
        return self

    def __call__(self, batch: Batch, taps: Iterable[str] = ()) -> View:
        """Return the estimate of ``batch.noisy`` and the mixed features at ``taps``, without a gradient."""
        names = list(taps)
        view = self.teacher(batch, names)
        if not names or batch.clean is None:
            return view
        other = self.teacher(replace(batch, noisy=with_other_noise(batch)), names).feats
        return View(view.wave, {name: torch.lerp(view.feats[name], other[name], self.share) for name in names})


def with_other_noise(batch: Batch) -> Tensor:
    """Return the noisy signals [B,T] with the noise of the next item, at the power of their own.

    Items without a reference, and those whose own noise or the other one is silent, stay as they are.
    """
    assert batch.clean is not None
    inside = torch.arange(batch.noisy.shape[-1], device=batch.noisy.device) < batch.lengths.unsqueeze(1)
    noise = (batch.noisy - batch.clean) * inside
    other = noise.roll(-1, dims=0) * inside
    energy, other_energy = (wave.square().sum(dim=-1, keepdim=True) for wave in (noise, other))
    audible = torch.minimum(energy, other_energy) > SILENCE * batch.lengths.unsqueeze(1)
    if batch.has_clean is not None:
        known = batch.has_clean & batch.has_clean.roll(-1)
        audible = audible & known.unsqueeze(1)
    gain = (energy / torch.where(audible, other_energy, 1.0)).sqrt()
    return torch.where(audible, batch.clean + gain * other, batch.noisy)
