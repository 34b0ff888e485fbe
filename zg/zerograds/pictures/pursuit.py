"""Which few parameters move a pixel, and by how much: sparse regression of every pixel on all parameters.

    Y[:, p] = Σ_{i in S(p)} J[p, i] X[:, i],   |S(p)| small

T renders, in each of which all parameters are moved at once by random amounts X [T, n]. Each parameter thus moves in a
rhythm of its own, and a pixel's changes Y [T] tell whose rhythm they follow. Orthogonal matching pursuit adds to S(p)
the parameter that goes best with the residual of Y, and fits all of S(p) again. It stops where the description of the
changes is shortest. To name a parameter costs log n + 3, and it saves, in each render, the logarithm of what it leaves
over what was left before it, at most `save`: a parameter that was moved or not says no more than one bit, log 2.

    score = Σ_k (log n + 3 − (T − k) min(save, log ρ_{k−1} / ρ_k)),   ρ_k = residual of Y / Y with k parameters

A pixel whose score is not well below 0 is not known yet; more renders are needed, about |S| (log n) / save in all,
few where pixels are moved by few parameters. Neither the order of the parameters nor the form of footprints matters.

Sources: Mallat and Zhang 1993; Pati, Rezaiifar and Krishnaprasad 1993; Rissanen 1978 for the description length.
Cost: O(m n T |S|) time, in chunks of bounded size; for few renders the best match is looked up in a k-d tree.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

#: Renders up to which the best match is looked up in a tree, and numbers n · m from which that pays.
TREE_RENDERS, TREE_SIZE = 8, 2**26
#: Numbers of a chunk of correlations: 32 MB.
CHUNK = 2**23
#: Renders for each parameter of a pixel, without which pursuit finds hardly any that are right.
RENDERS_EACH = 3
#: Least ρ: the precision of small changes of pictures in single precision.
PRECISION = 1e-4
#: Price of a parameter beside log n, and the score from which a pixel is known: a chance of e⁻³ for each.
MARGIN, KNOWN = 3.0, -3.0


@dataclass
class Sparse:
    """A matrix [m, n] with up to k entries in each row: columns [m, k] and values [m, k], 0 where there is none.

    left: ρ [m] of each row, 1 for those that are not known. Memory: 12 bytes for each of m k entries.
    """

    columns: Tensor
    values: Tensor
    left: Tensor

    def times(self, s: Tensor) -> Tensor:
        """J s [B, m] for s [B, n]."""
        return torch.stack([(self.values * one[self.columns]).sum(1) for one in s.to(self.values)])

    def transposed(self, u: Tensor, n: int) -> Tensor:
        """Jᵀ u [B, n] for u [B, m]."""
        flat = self.columns.reshape(-1)
        rows = [(self.values * one[:, None]).reshape(-1) for one in u]
        return torch.stack([u.new_zeros(n).index_add_(0, flat, row) for row in rows])

    def moved(self, weights: Tensor) -> Tensor:
        """|J| w [k, m] for weights w [n, k]; one entry of all rows at a time, for rows may be long."""
        weights = weights.to(self.values)
        moved = self.values.new_zeros(len(self.values), weights.shape[1])
        for column, value in zip(self.columns.T, self.values.T, strict=True):
            moved += value.abs()[:, None] * weights[column]
        return moved.T

    def column_sums(self, weights: Tensor, n: int) -> Tensor:
        """Σ_p w_p J[p, i]² [n] for weights [m]."""
        squares = weights[:, None] * self.values.square()
        return squares.new_zeros(n).index_add_(0, self.columns.reshape(-1), squares.reshape(-1))


def pursue(X: Tensor, Y: Tensor, most: int, save: float) -> Sparse:
    """J [m, n] from changes Y [T, m] under offsets X [T, n], both without mean.

    most: entries of a row. save: most that a parameter saves in a render, ln 2 for one bit.
    """
    search = Search.of(X, Y.shape[1])
    chunks = [_rows(search, part.T.contiguous(), most, save) for part in torch.split(Y, search.rows, dim=1)]
    columns, values, left = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    used = max(1, int((values != 0).any(0).sum()))  # rows are filled from the left
    return Sparse(columns[:, :used].contiguous(), values[:, :used].contiguous(), left)


@dataclass
class Search:
    """Finds the column of X that goes best with changes. columns, unit: [n, T]. rows: pixels of a chunk."""

    columns: Tensor
    unit: Tensor
    rows: int
    tree: KDTree | None

    @classmethod
    def of(cls, X: Tensor, m: int) -> "Search":
        columns = X.float().T.contiguous()
        unit = columns / columns.norm(dim=1, keepdim=True).clamp_min(torch.finfo(columns.dtype).tiny)
        n, renders = columns.shape
        if renders <= TREE_RENDERS and n * m >= TREE_SIZE:
            return cls(columns, unit, m, KDTree(torch.cat([unit, -unit]).cpu().numpy()))
        return cls(columns, unit, max(1, CHUNK // n), None)

    def best(self, rest: Tensor, support: Tensor) -> Tensor:
        """The column [c] with the largest correlation with rest [c, T] that is not in the support [c, k] yet."""
        if self.tree is not None:
            direction = rest / rest.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rest.dtype).tiny)
            found = self.tree.query(direction.cpu().numpy())[1] % len(self.unit)
            return torch.from_numpy(np.asarray(found)).to(rest.device)
        alike = (rest @ self.unit.T).abs_()
        return alike.scatter_(1, support, -1.0).argmax(1)


def _rows(search: Search, y: Tensor, most: int, save: float) -> tuple[Tensor, Tensor, Tensor]:
    """Columns [c, most], values [c, most] and ρ [c] for changes y [c, T]."""
    (count, renders), price = y.shape, math.log(len(search.unit)) + MARGIN
    columns = torch.zeros(count, most, dtype=torch.long, device=y.device)
    values, best, left = y.new_zeros(count, most), y.new_full((count,), KNOWN), y.new_ones(count)
    size = y.norm(dim=1)
    active = (size > 0).nonzero()[:, 0]
    support, rest, score, before = columns[active, :0], y[active], best[active] * 0, left[active]
    for k in range(1, min(most, renders // RENDERS_EACH) + 1):
        if len(active) == 0 or price >= renders * save:
            break
        support = torch.cat([support, search.best(rest, support)[:, None]], 1)
        coefficients, rest = _fit(search.columns[support], y[active])
        now = (rest.norm(dim=1) / size[active]).clamp_min(PRECISION)
        score = score + price - (renders - k) * (before / now).log().clamp(0.0, save)
        is_better = score < best[active]
        rows = active[is_better]
        best[rows], left[rows] = score[is_better], now[is_better]
        columns[rows, :k], values[rows, :k] = support[is_better], coefficients[is_better]
        goes_on = now > PRECISION
        active, support, rest, score, before = (part[goes_on] for part in (active, support, rest, score, now))
    return columns, values, left


def _fit(columns: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of y [c, T] on columns [c, k, T]: coefficients [c, k] and what is left [c, T]."""
    gram = columns @ columns.transpose(1, 2)
    gram = gram + torch.diag_embed(1e-6 * gram.diagonal(dim1=1, dim2=2) + torch.finfo(y.dtype).tiny)
    coefficients = torch.linalg.solve(gram, columns @ y[:, :, None])[:, :, 0]
    return coefficients, y - (coefficients[:, None] @ columns)[:, 0]
