"""Directions without replacement, which never repeat one another within a sweep."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

SMALL = 64  # cosine transforms up to this size are made once


class CrossedDirections:
    """Directions without replacement: u = s ⊙ (a ⊗ b), in random order, with random signs s [n].

    a is a row of a p × p Hadamard matrix, b of a q × q cosine transform (DCT-II), p at most 16 and p q the first
    multiple of p from n on. All p q such rows are orthonormal; cut to n entries they still resolve the identity,
    Σ u uᵀ = I, and are orthogonal but for the p q − n < p entries they lost. Dense rows move every coordinate a little,
    so one radius suits them all; without replacement, n renders say n different things.
    """

    def __init__(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> None:
        self.n, self.generator, self.dtype, self.left = n, generator, dtype, 0
        self.p = min(16, 2 ** round(math.log2(math.sqrt(n))))
        self.q = -(-n // self.p)
        self.signs_across = hadamard(torch.arange(self.p, device=generator.device), self.p)
        self.table: tuple[Tensor, Tensor] | None = None
        if self.q <= SMALL:  # then all rows, and their squares, are no more than a few rows of n
            every = cosines(torch.arange(self.q, device=generator.device), self.q)
            self.table = every, squares(every, n, self.p)
        self.order = self.signs = torch.empty(0, device=generator.device)

    def draw(self, m: int) -> "CrossedBlock":
        """The next min(m, rows left in this sweep) directions."""
        device, total = self.generator.device, self.p * self.q
        if self.left == 0:
            self.order = torch.randperm(total, generator=self.generator, device=device)
            coins = torch.randint(0, 2, (self.n,), generator=self.generator, device=device)
            self.signs = (2 * coins - 1).to(self.dtype)
            self.left = total
        rows = self.order[total - self.left :][:m]
        self.left -= len(rows)
        across, along = rows // self.q, rows % self.q
        if self.table:
            b, lengths = (each[along] for each in self.table)
        else:
            b = cosines(along, self.q)
            lengths = squares(b, self.n, self.p)
        return CrossedBlock(self.signs_across[across], b, self.signs, lengths)

    def state(self) -> dict[str, Tensor | int]:
        """Where in the sweep it is."""
        return {"order": self.order, "signs": self.signs, "left": self.left}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.order, self.signs, self.left = state["order"], state["signs"], state["left"]


class CrossedBlock:
    """k directions U [k, n] by factors a [k, p], b [k, q], s [n]: a product with U is two small matrix products.

    squares: |u|² [k], 1 but for the entries that were cut, of which one row may lose more than another.
    """

    def __init__(self, a: Tensor, b: Tensor, signs: Tensor, squares: Tensor) -> None:
        self.signs, self.n, self.squares = signs, len(signs), squares
        self.a, self.b = a.to(signs.dtype), b.to(signs.dtype)

    def __len__(self) -> int:
        return len(self.a)

    def along(self, v: Tensor) -> Tensor:
        """U v [k], the components of v [n]."""
        grid = pad(v * self.signs, (0, self.a.shape[1] * self.b.shape[1] - self.n)).view(self.a.shape[1], -1)
        return ((grid @ self.b.T) * self.a.T).sum(0)

    def combine(self, y: Tensor) -> Tensor:
        """Uᵀ y [n] for y [k]."""
        return ((self.a.T * y.to(self.a.dtype)) @ self.b).view(-1)[: self.n] * self.signs

    def around(self, theta: Tensor, lengths: Tensor, unit: Tensor, out: Tensor) -> None:
        """θ + r_k u_k ⊙ unit into out [k, n], for θ [n], lengths r [k] and unit [1] or [n]."""
        scaled = self.a * lengths[:, None].to(self.a.dtype)
        whole, rest = divmod(self.n, self.b.shape[1])
        grid = out[:, : self.n - rest].unflatten(1, (whole, -1))
        torch.mul(scaled[:, :whole, None], self.b[:, None], out=grid)
        if rest:
            torch.mul(scaled[:, whole, None], self.b[:, :rest], out=out[:, -rest:])
        torch.addcmul(theta, out, self.signs * unit, out=out)


def squares(b: Tensor, n: int, p: int) -> Tensor:
    """|a ⊗ b|² [k] of the first n entries, for rows b [k, q] and any a [p] of the Hadamard matrix."""
    whole, rest = divmod(n, b.shape[1])
    return (whole + b[:, :rest].square().sum(1)) / p


def hadamard(rows: Tensor, p: int) -> Tensor:
    """Rows [k, p] of the orthonormal p × p Hadamard matrix, p a power of two: signs by the parity of row & column."""
    parity = rows[:, None] & torch.arange(p, device=rows.device)
    for shift in (16, 8, 4, 2, 1):
        parity = parity ^ (parity >> shift)
    return (1 - 2 * (parity & 1)).double() / math.sqrt(p)


def cosines(rows: Tensor, q: int) -> Tensor:
    """Rows [k, q] of the orthonormal q × q DCT-II matrix."""
    phase = (2 * torch.arange(q, dtype=torch.float64, device=rows.device) + 1) * (math.pi / (2 * q))
    table = (rows[:, None] * phase).cos() * math.sqrt(2 / q)
    return torch.where(rows[:, None] == 0, math.sqrt(1 / q), table)
