"""The kernel of a random quadratic with noise, and with a cubic part that is fitted beside it."""

import math

import torch
from torch import Tensor

#: Entries of a prior: logarithms of p₁, p₂ and p₃, in variances of the losses, and of b, in variances of the noise.
ISOTROPIC, GENERAL, CUBIC, MISFIT = range(4)
#: The powers of the unit of u with which they grow.
POWERS = (4, 4, 6, 6)


class QuadraticKernel:
    """The kernel k(u, v) between samples u [N, n], by its terms [N, N], which do not depend on the prior.

    prior_f: p₀. loud: a. length: |u|²/n [N]. square: u_i²/n [N, n]. A `prior` is four logarithms: of p₁, p₂, p₃ and
    b; noise is the logarithm of s².
    """

    def __init__(self, u: Tensor, prior_f: float, loud: float) -> None:
        self.u, self.n, self.prior_f, self.loud = u, u.shape[1], prior_f, loud
        self.length, self.square = u.square().mean(1), u.square() / self.n
        self.linear = u @ u.T / self.n
        self.isotropic = torch.outer(self.length, self.length)
        self.general = self.linear.square() + self.square @ self.square.T
        self.cubic = self.linear * self.isotropic

    def doubt(self, prior: list[float]) -> Tensor:
        """Noise and misfit of the samples [N], as a variance relative to the noise s² at |u|² = n."""
        return 1 - self.loud + self.loud * self.length**2 + math.exp(prior[MISFIT]) * self.length**3

    def counted(self, prior: list[float]) -> float:
        """The number of samples that count: each by the noise in its loss over noise and misfit."""
        return float(self.doubt(prior).clamp(min=1).reciprocal().sum())

    def slope_noise(self, noise: float, prior: list[float]) -> float:
        """Logarithm of the variance of an error of the slope by noise: s² n over the number of samples that count."""
        return noise + math.log(self.n / self.counted(prior))

    def regress(self, target: Tensor, noise: float, prior: list[float]) -> tuple[float, Tensor] | None:
        """Logarithm of the evidence, up to a constant, and dual weights (k + noise)⁻¹ target [N]; None if singular."""
        isotropic, general, cubic = (math.exp(value) for value in prior[:MISFIT])
        kernel = self.prior_f + self.linear + isotropic * self.isotropic + general * self.general + cubic * self.cubic
        kernel.diagonal().add_(math.exp(noise) * self.doubt(prior))
        factor, wrong = torch.linalg.cholesky_ex(kernel)
        if wrong:
            return None
        dual = torch.cholesky_solve(target[:, None], factor)[:, 0]
        return -0.5 * float(target @ dual) - float(factor.diagonal().log().sum()), dual

    def quadratic(self, dual: Tensor, prior: list[float]) -> tuple[float, Tensor, Tensor]:
        """The posterior mean of f, g [n] and H [n, n] from the dual weights [N]."""
        u, n, (isotropic, general) = self.u, self.n, (math.exp(value) for value in prior[:CUBIC])
        sphere = isotropic * float(dual @ self.length) * torch.eye(n).to(u)
        diagonal = general * torch.diag(self.square.T @ dual) + sphere
        H = 2 / n * (diagonal + general * (u.T * dual) @ u / n)
        return self.prior_f * float(dual.sum()), u.T @ dual / n, H


def near(
    prior: list[float], deciding: tuple[int, ...], step: float, bounds: tuple[float, float], generator: torch.Generator
) -> list[list[float]]:
    """The prior; it with each `deciding` entry a step or two larger and smaller; and with one entry of H, drawn."""
    draw, far = torch.randint(4, (2,), generator=generator, device=generator.device).tolist()
    moves = [(entry, sign * step * (1 + far % 2)) for entry in deciding for sign in (1, -1)]
    moves.append((ISOTROPIC if draw < 2 else GENERAL, step if draw % 2 else -step))
    priors = [prior]
    for entry, change in moves:
        moved = list(prior)
        moved[entry] = min(max(moved[entry] + change, bounds[0]), bounds[1])
        priors.append(moved)
    return priors
