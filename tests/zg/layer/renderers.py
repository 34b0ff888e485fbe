"""Renderers whose derivative, or whose smoothed derivative, is known."""

import math

import torch
from torch import Tensor

PIXELS = 24


def _matrices(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    shape = torch.randn(n, 16, generator=generator, dtype=torch.float64) * n**-0.5
    return shape, torch.randn(16, PIXELS, generator=generator, dtype=torch.float64)


def smooth(x: Tensor) -> Tensor:
    """A nonlinear image [B, 24] of x [B, n], which autograd can differentiate."""
    first, second = _matrices(x.shape[1])
    return torch.sigmoid(torch.sin(1.5 * x.double() @ first) @ second)


def hard(x: Tensor) -> Tensor:
    """An image [B, 24] with hard edges: a pixel is 1 on one side of a plane in x [B, n]. Its derivative is 0."""
    first, second = _matrices(x.shape[1])
    return (x.double() @ (first @ second) > 0).double()


def hard_smoothed(x: Tensor, sigma: float) -> Tensor:
    """`hard`, convolved with a Gaussian of width σ: the normal distribution function of the distance to the plane."""
    first, second = _matrices(x.shape[1])
    normals = first @ second
    distance = x.double() @ normals / normals.norm(dim=0)
    return 0.5 * (1 + torch.erf(distance / (sigma * math.sqrt(2))))


def vector_jacobian(image: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """vᵀ ∂image/∂x [B, n] by autograd."""
    (found,) = torch.autograd.grad(image, x, v)
    return found
