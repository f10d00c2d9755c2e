"""The compressed-spectrum loss: magnitudes, and magnitudes with phases, compared after a power law.

Braun, Tashev: "A consolidated view of loss functions for supervised deep learning-based speech enhancement", TSP
2021, arXiv 2009.12286. With S the spectrum of the clean speech and c = 0.3, the loss of an item is the mean over time
and frequency of (1 - b) ( |S|^c - |S^|^c )^2 + b | |S|^c e^{j phi} - |S^|^c e^{j phi^} |^2, b = 0.3. The power law
makes quiet parts of the spectrum count, as they do to the ear.

Ours: spectra are taken of the waveforms, whatever spectrum a network works on, so that every network may train on it;
and the paper's normalisation by the level of active speech is left to the data.
"""

from __future__ import annotations

from torch import Tensor, nn

from sotto.audio.stft import magnitude, stft


class Compressed(nn.Module):
    """The compressed-spectrum loss, a value per item.

    Args:
        compression: the exponent c.
        complex_weight: the share b of the term that sees phases.
        resolution: (fft, hop, window) in samples.
    """

    def __init__(
        self,
        compression: float = 0.3,
        complex_weight: float = 0.3,
        resolution: tuple[int, int, int] = (512, 128, 512),
    ) -> None:
        super().__init__()
        if not (0 < compression <= 1 and 0 <= complex_weight <= 1):
            raise ValueError(f"compression and complex_weight lie in 0..1, not {compression} and {complex_weight}")
        self.compression, self.complex_weight, self.resolution = compression, complex_weight, resolution

    def forward(self, reference: Tensor, estimate: Tensor, noisy: Tensor) -> Tensor:
        """``reference``, ``estimate`` [B,T]; ``noisy`` plays no part. Returns [B]."""
        target, guess = stft(reference, *self.resolution), stft(estimate, *self.resolution)
        wanted, found = magnitude(target), magnitude(guess)
        magnitudes = (wanted.pow(self.compression) - found.pow(self.compression)).square()
        difference = target * wanted.pow(self.compression - 1) - guess * found.pow(self.compression - 1)
        phases = difference.real.square() + difference.imag.square()
        return ((1 - self.complex_weight) * magnitudes + self.complex_weight * phases).mean(dim=(1, 2))
