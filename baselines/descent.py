"""What the methods share that estimate a slope and follow it."""

from typing import ClassVar

import torch
from torch import Tensor

from zg.method import Method


class Descent(Method):
    """A θ that Adam moves down an estimated slope, inside the bounds.

    Adam's ε is the smallest number there is, so that its step does not depend on the scale of the loss.
    """

    saved: ClassVar = ("theta", "adam")

    lr: float

    def build(self, theta: Tensor) -> None:
        self.theta = theta.requires_grad_()
        self.adam = torch.optim.Adam([self.theta], lr=self.lr, eps=torch.finfo(theta.dtype).tiny)

    def descend(self, slope: Tensor) -> None:
        """One step of Adam against the slope [n]."""
        self.theta.grad = slope.to(self.theta.dtype)
        self.adam.step()
        self.theta.data = self.space.project(self.theta.data)

    def recommend(self) -> Tensor:
        return self.theta.detach()

    def status(self) -> dict[str, float]:
        return {"step": self.lr}


def differences(losses: Tensor, pairs: int) -> Tensor:
    """Losses of `pairs` ups, then as many downs -> up − down [≤ pairs], 0 where one of the two failed.

    Of a batch that the budget cut, the pairs that are whole.
    """
    whole = max(len(losses) - pairs, 0)
    return torch.nan_to_num(losses[:whole] - losses[pairs:], nan=0.0)


def normalised(slopes: Tensor) -> Tensor:
    """Slopes [B] over their root mean square; all zero stays zero."""
    return slopes / slopes.square().mean().sqrt().clamp_min(torch.finfo(slopes.dtype).tiny)
