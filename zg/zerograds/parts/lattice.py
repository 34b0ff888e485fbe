"""Neighbours of one θ: θ with another value of one integer or binary coordinate.

    θ′ = θ ± sₖ eₖ    or    θ′ = θ with θₖ uniform within its bounds    or    θ′ = θ with another choice

s [n] is the spacing of the lattice: the scaled distance between neighbouring values of a coordinate. Rounding hides the
samples of a narrow Gaussian; a neighbour always changes what is rendered. No value is tried twice beside the same θ.

Cost: O(k n) for k neighbours, and one render for each of them.
"""

import math
from typing import Any

import torch
from torch import Tensor

from zg.problem import Problem


class UntriedNeighbours:
    """Draws neighbours of θ [n] that were not tried, and remembers those that did not help.

    adjacent_share: fraction of the draws that are one spacing away; the rest is uniform within the bounds.
    draws: random draws for each neighbour that is asked for, to find one that was not tried.
    """

    def __init__(self, problem: Problem, adjacent_share: float, draws: int) -> None:
        self.problem, self.adjacent_share, self.draws = problem, adjacent_share, draws
        self.coordinates: list[int] = problem.lattice.nonzero()[:, 0].tolist()
        #: State: [coordinate, value] of the neighbours of the present θ that did not help.
        self.tried: list[list[int]] = []
        #: State: which coordinate each of the last neighbours changes.
        self.changed: list[int] = []

    def ask(self, theta: Tensor, wanted: int) -> Tensor:
        """Neighbours [k, n] of θ [n] that were not tried, k ≤ wanted; none where every coordinate is real."""
        self.changed = []
        found: list[Tensor] = []
        wanted = wanted if self.coordinates else 0
        shape, generator = (self.draws * wanted, 4), self.problem.generator
        draws = torch.rand(shape, generator=generator, dtype=theta.dtype, device=theta.device)
        known = {*zip(self.coordinates, self._values(theta), strict=True)} | {(k, value) for k, value in self.tried}
        for which, how, up, where in draws.tolist():
            if len(found) == wanted:
                break
            k = self.coordinates[int(which * len(self.coordinates))]
            neighbour = self._neighbour(theta, k, how < self.adjacent_share, up, where)
            value = self._value(neighbour, k)
            if (k, value) not in known:
                known.add((k, value))
                found.append(neighbour)
                self.changed.append(k)
        return torch.stack(found) if found else theta.new_empty(0, len(theta))

    def reject(self, neighbours: Tensor) -> None:
        """None of the last neighbours [k, n] is better than θ; k is smaller if the budget cut the batch."""
        pairs = zip(self.changed, neighbours, strict=False)
        self.tried += [[k, self._value(neighbour, k)] for k, neighbour in pairs]

    def forget(self) -> None:
        """θ has moved, and has other neighbours."""
        self.tried = []

    def state_dict(self) -> dict[str, Any]:
        return {"tried": list(self.tried), "changed": list(self.changed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tried, self.changed = state["tried"], state["changed"]

    def _neighbour(self, theta: Tensor, k: int, is_adjacent: bool, up: float, where: float) -> Tensor:
        """θ [n] with another value of coordinate k; `up` and `where` are uniform in [0, 1)."""
        group = self.problem.space.group_of(k)
        if group.stop > group.start + 1:  # the values of a categorical parameter are all adjacent
            return self.problem.space.chosen(theta, k)
        neighbour, low, high = theta.clone(), self.problem.space.low[k], self.problem.space.high[k]
        span = float(high - low)
        if is_adjacent or not math.isfinite(span):
            neighbour[k] += self.problem.lattice[k] * (1 if up < 0.5 else -1)
        else:
            neighbour[k] = low + where * span
        return self.problem.project(neighbour)

    def _value(self, theta: Tensor, k: int) -> int:
        """The integer that the renderer is given for coordinate k of θ [n]."""
        return round(float(self.problem.space.settled(theta)[k] / self.problem.lattice[k]))

    def _values(self, theta: Tensor) -> list[int]:
        """The integers that the renderer is given for all `coordinates` of θ [n]."""
        return (self.problem.space.settled(theta) / self.problem.lattice)[self.coordinates].round().long().tolist()
