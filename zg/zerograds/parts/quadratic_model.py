"""A quadratic of the loss, by weighted least squares over past renders.

    h(θ) = f + g·(θ − c) + (θ − c)·H (θ − c) / 2

It has as many terms as the renders can tell: a line from 1.1 (n + 1) of them, a diagonal H from 1.1 (2 n + 1), and a
full H from 1.1 (n + 1)(n + 2) / 2. Renders count by rank: the best one `best_weight` times as much as the worst one,
for the way down leads through the good ones.

Cost: O(N p²) operations for N renders and p terms. Source: Hansen 2019, "A Global Surrogate Assisted CMA-ES"; there
the quadratic is fitted in the coordinates of the problem, and here in those of the caller, which are better scaled.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zg.zerograds.parts.part import Group

#: Keeps a quotient finite; smaller than any deviation that matters.
TINY = 1e-300
#: Share of the mean square of a term that is added to its own: Cholesky then works on terms that look alike.
RIDGE = 1e-10


@dataclass
class Quadratic(Group):
    """h, in scaled units. Unknown before the first fit: f is NaN."""

    centre: Tensor
    f: float
    g: Tensor
    H: Tensor

    @classmethod
    def unknown(cls, theta: Tensor) -> "Quadratic":
        """Before the first fit; θ [n] gives size, type and device."""
        n = len(theta)
        return cls(theta.clone(), math.nan, torch.zeros_like(theta), theta.new_zeros(n, n))

    @property
    def is_known(self) -> bool:
        """Whether it has been fitted."""
        return not math.isnan(self.f)

    def __call__(self, theta: Tensor) -> Tensor:
        """h [B] at θ [B, n]."""
        s = theta - self.centre
        return self.f + s @ self.g + 0.5 * ((s @ self.H) * s).sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        """The gradient [n] of h at θ [n]."""
        return self.g + self.H @ (theta - self.centre)


@dataclass(frozen=True)
class Terms:
    """The terms of a quadratic in n coordinates, and how many of them a number of renders can tell.

    n: coordinates. most_full: largest number of terms for which H is full; beyond, it is diagonal.
    renders_per_term: renders for each term, at least (Hansen 2019: 1.1).
    """

    n: int
    most_full: int
    renders_per_term: float = 1.1

    @property
    def has_full(self) -> bool:
        """Whether H is full once there are renders enough."""
        return self.count_full <= self.most_full

    @property
    def count_full(self) -> int:
        """Terms with a full H."""
        return (self.n + 1) * (self.n + 2) // 2

    @property
    def count(self) -> int:
        """Terms, once there are renders enough."""
        return self.count_full if self.has_full else 2 * self.n + 1

    @cached_property
    def pairs(self) -> Tensor:
        """Coordinates i ≤ j [2, p] of each product."""
        return torch.triu_indices(self.n, self.n)

    def of(self, u: Tensor) -> Tensor | None:
        """The terms [N, p] of u [N, n]: 1, u, and products of u; None where N is too small for a line."""

        def are_enough(terms: int) -> bool:
            return len(u) >= self.renders_per_term * terms

        if not are_enough(self.n + 1):
            return None
        columns = [torch.ones_like(u[:, :1]), u]
        if self.has_full and are_enough(self.count_full):
            i, j = self.pairs.to(u.device)
            columns.append(torch.where(i == j, 0.5, 1.0).to(u) * u[:, i] * u[:, j])
        elif are_enough(2 * self.n + 1):
            columns.append(0.5 * u.square())
        return torch.cat(columns, 1)

    def matrix(self, coefficients: Tensor) -> Tensor:
        """H [n, n] from the coefficients of the products, of which there may be none, n or n (n + 1) / 2."""
        if len(coefficients) <= self.n:
            return torch.diag(torch.nn.functional.pad(coefficients, (0, self.n - len(coefficients))))
        i, j = self.pairs.to(coefficients.device)
        H = coefficients.new_zeros(self.n, self.n)
        H[i, j] = H[j, i] = coefficients
        return H


def weights_by_rank(losses: Tensor, best_weight: float) -> Tensor:
    """Weights [N] from `best_weight` for the lowest of the losses [N] to 1 for the highest one, in equal steps."""
    ranks = losses.argsort().argsort()
    return 1 + (best_weight - 1) * (1 - ranks / max(len(losses) - 1, 1))


@dataclass(frozen=True)
class Fit:
    """A quadratic in coordinates u: f, g [n] and H [n, n]. left_out: for the last renders, see `fit`."""

    f: float
    g: Tensor
    H: Tensor
    left_out: Tensor


def fit(terms: Terms, u: Tensor, losses: Tensor, best_weight: float, last: int) -> Fit | None:
    """The quadratic in coordinates u [N, n], which should be of order 1, from the losses [N].

    None where there are too few renders, or where they do not tell the terms apart. left_out: what the quadratic
    without a render says of it, for each of the last ones: a fit with nearly as many terms as renders explains all that
    it has seen, and this shows whether it explains anything else.
    """
    columns = terms.of(u)
    if columns is None:
        return None
    weights = weights_by_rank(losses, best_weight).to(u)
    mean = float(weights @ losses / weights.sum())
    spread = max(math.sqrt(float(weights @ (losses - mean).square() / weights.sum())), TINY)
    weighted = columns * weights[:, None]
    normal = columns.T @ weighted
    normal.diagonal().mul_(1 + RIDGE)
    factor, info = torch.linalg.cholesky_ex(normal)
    if info:
        return None
    target = (losses - mean) / spread
    coefficients = torch.cholesky_solve((weighted.T @ target)[:, None], factor)[:, 0]
    recent = columns[-last:]
    leverage = weights[-last:] * torch.linalg.solve_triangular(factor, recent.T, upper=False).square().sum(0)
    residual = (target[-last:] - recent @ coefficients) / (1 - leverage).clamp_min(RIDGE)
    n, coefficients = terms.n, spread * coefficients
    return Fit(
        mean + float(coefficients[0]),
        coefficients[1 : n + 1],
        terms.matrix(coefficients[n + 1 :]),
        losses[-last:] - spread * residual,
    )
