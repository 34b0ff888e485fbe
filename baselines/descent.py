"""The shared part of methods that estimate a gradient and follow it with Adam."""

from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.method import Method
from zg.problem import ImageLoss


class Descent(Method):
    """Adam (Kingma and Ba 2015) on an estimated gradient, with θ projected onto the bounds after each step.

    Adam's ε is the smallest positive normal number, so that the step does not depend on the scale of the loss.
    lr: learning rate, in scaled units.
    """

    saved: ClassVar[tuple[str, ...]] = ("theta", "adam")

    lr: float

    def build(self, theta: Tensor) -> None:
        self.theta = theta.requires_grad_()
        self.adam = torch.optim.Adam([self.theta], lr=self.lr, eps=torch.finfo(theta.dtype).tiny)

    def descend(self, gradient: Tensor) -> None:
        """One step of Adam, with the estimated gradient [n]."""
        self.theta.grad = gradient.to(self.theta.dtype)
        self.adam.step()
        self.theta.data = self.space.project(self.theta.data)

    def recommend(self) -> Tensor:
        return self.theta.detach()

    def status(self) -> dict[str, float]:
        return {"step": self.lr}


def differences(losses: Tensor, pairs: int) -> Tensor:
    """Losses [f(θ + δ₁), …, f(θ + δ_P), f(θ − δ₁), …, f(θ − δ_P)] for P pairs -> f(θ + δ_k) − f(θ − δ_k) [P].

    The difference is 0 if one of the two renders failed. Of a batch that the budget has cut, only complete pairs are
    returned: then [K] with K < P.
    """
    whole = max(len(losses) - pairs, 0)
    return torch.nan_to_num(losses[:whole] - losses[pairs:], nan=0.0)


def normalised(values: Tensor) -> Tensor:
    """Values [B], divided by their root mean square; zeros if all are zero."""
    return values / values.square().mean().sqrt().clamp_min(torch.finfo(values.dtype).tiny)


@torch.enable_grad()
def loss_gradient(loss: ImageLoss, images: Tensor, reference: Tensor | None, method: str) -> Tensor:
    """∂L/∂I [B, ...] at images [B, ...]. Raises SettingError in the name of a method if L is not differentiable."""
    images = images.detach().clone().requires_grad_()
    losses = loss.of_images(images, reference)
    if not losses.requires_grad:
        raise SettingError(f"loss must be differentiable with respect to the image for {method}; use fr22")
    return torch.autograd.grad(losses.sum(), images)[0]
