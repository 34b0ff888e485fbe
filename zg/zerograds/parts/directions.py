"""Directions without replacement: in a sweep of n directions no direction repeats what another one has said.

    u = s ⊙ (a ⊗ b),    Σ u uᵀ = I over a sweep

a is a row of a p × p Hadamard matrix, b of a q × q cosine transform (DCT-II), both orthonormal; s [n] are random signs.
p is a power of two, and p q the first multiple of p from n on. The p q rows come in random order. They are
orthonormal; cut to n entries they still resolve the identity, and are orthogonal but for the p q − n < p entries that
were cut. All entries of a row are of similar size, so each probe moves every coordinate a little.

Cost: a sweep's order and signs take 2 n numbers. A product of k directions with a vector is two small matrix products.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

#: Largest p. A larger p makes the factors shorter, and lets the cut take more entries.
LARGEST_HADAMARD = 16
#: Cosine transforms up to this size are made once. All their rows are no more than a few vectors of n.
LARGEST_TABLE = 64


class CrossedDirections:
    """Endless sweeps of directions [n], each with its own order and signs.

    `draw` shows the next directions, and `advance` counts them as used. Between the two the state is still the one from
    which the same generator draws the same directions: a run that is resumed there draws them again.
    """

    def __init__(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> None:
        self.n, self.generator, self.dtype = n, generator, dtype
        self.p = min(LARGEST_HADAMARD, 2 ** round(math.log2(math.sqrt(n))))
        self.q = -(-n // self.p)
        self.signs_across = hadamard(torch.arange(self.p, device=generator.device), self.p)
        self.table: tuple[Tensor, Tensor] | None = None
        if self.q <= LARGEST_TABLE:
            every = cosines(torch.arange(self.q, device=generator.device), self.q)
            self.table = every, squares(every, n, self.p)
        #: State: the order [p q] and signs [n] of this sweep; without meaning at position 0.
        self.order = self.signs = torch.empty(0, device=generator.device)
        #: State: how many directions of this sweep were used. From position 0 a new sweep is drawn.
        self.position = 0

    def draw(self, m: int) -> "CrossedBlock":
        """The next min(m, rest of the sweep) directions."""
        if self.position == 0:
            self._draw_sweep()
        rows = self.order[self.position :][:m]
        across, along = rows // self.q, rows % self.q
        if self.table:
            b, lengths = (each[along] for each in self.table)
        else:
            b = cosines(along, self.q)
            lengths = squares(b, self.n, self.p)
        return CrossedBlock(self.signs_across[across], b, self.signs, lengths)

    def advance(self, count: int) -> None:
        """Count that many directions, the last ones drawn, as used."""
        self.position = (self.position + count) % (self.p * self.q)

    def state_dict(self) -> dict[str, Tensor | int]:
        """The sweep, and the position in it."""
        return {"order": self.order, "signs": self.signs, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.order, self.signs, self.position = state["order"], state["signs"], state["position"]

    def _draw_sweep(self) -> None:
        """The order and signs of a new sweep."""
        device = self.generator.device
        self.order = torch.randperm(self.p * self.q, generator=self.generator, device=device)
        coins = torch.randint(0, 2, (self.n,), generator=self.generator, device=device)
        self.signs = (2 * coins - 1).to(self.dtype)


class CrossedBlock:
    """k directions U [k, n], held as factors a [k, p], b [k, q] and s [n].

    squares: |u|² [k]. They are 1, but for the entries that were cut, of which one row may lose more than another.
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
        """Write θ + r_i u_i ⊙ unit into out [k, n], for θ [n], lengths r [k] and unit [1] or [n]."""
        scaled = self.a * lengths[:, None].to(self.a.dtype)
        whole, rest = divmod(self.n, self.b.shape[1])
        grid = out[:, : self.n - rest].view(len(out), whole, -1)
        torch.mul(scaled[:, :whole, None], self.b[:, None], out=grid)
        if rest:
            torch.mul(scaled[:, whole, None], self.b[:, :rest], out=out[:, -rest:])
        torch.addcmul(theta, out, self.signs * unit, out=out)


def squares(b: Tensor, n: int, p: int) -> Tensor:
    """|a ⊗ b|² [k] of the first n entries, for rows b [k, q] and any row a [p] of the Hadamard matrix."""
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
