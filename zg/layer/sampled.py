"""The sampled estimate: antithetic pairs around each row, and nothing else.

    vᵀ ∂(I ∗ κ)/∂x ≈ mean over pairs of  v · (I(x + σ ε) − I(x − σ ε)) / (2 σ) · w        (ε, w: `zg.layer.draws`)

It is unbiased for the smoothed gradient. With Gaussian draws its error is about √(n / pairs) times the gradient.
Fischer and Ritschel 2024, equation of the local sampling; there, of the loss.
"""

import torch
from torch import Tensor

from zg.layer.draws import weighted_mean
from zg.layer.estimator import Estimator, Probe


class Sampled(Estimator):
    """Renders 2 · pairs a row; no memory."""

    def estimate(self, x: Tensor, v: Tensor, probe: Probe) -> Tensor:
        pairs = self.render_pairs(x, probe)
        changes = torch.einsum("mbd,bd->mb", pairs.half, v)
        return weighted_mean(changes, pairs.valid, pairs.draws, self.sigma)
