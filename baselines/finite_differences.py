"""Finite differences: the slope along each coordinate from two renders, and Adam.

    central  (f(θ + h e_j) − f(θ − h e_j)) / 2h        forward  (f(θ + h e_j) − f(θ)) / h

Central costs two renders a coordinate and is exact on a quadratic; forward costs one, and one for the centre
(Nocedal and Wright 2006, "Numerical Optimization", section 8.1). Above a few coordinates each iteration takes a
random block of them and leaves the others' slopes at zero.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.descent import Descent, differences
from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range

SCHEMES = ("central", "forward")
# Coordinates an iteration where the user leaves it open: more would leave few iterations of a usual budget.
MAX_BLOCK = 64


class FiniteDifferences(Descent):
    """Descent along finite differences.

    scheme: central or forward. step: h, scaled units; a discrete coordinate moves by one of its units at least,
    since less is rounded away. lr: Adam's learning rate, scaled units. block: coordinates an iteration, drawn
    anew each time; by default all, at most 64.
    """

    ranges: ClassVar = {
        "step": Range(0.0001, 0.1, log=True),
        "lr": Range(0.0003, 1.0, log=True),
        "block": Range(1, MAX_BLOCK, log=True, integer=True),
    }

    def __init__(
        self,
        scheme: Literal["central", "forward"] = "central",
        step: float = 0.01,
        lr: float = 0.01,
        block: int | None = None,
    ) -> None:
        if scheme not in SCHEMES:
            raise SettingError(f"scheme must be central or forward, got '{scheme}'")
        check_positive(step=step, lr=lr)
        if block is not None:
            check_whole(block=block)
        self.scheme, self.step, self.lr, self.block = scheme, step, lr, block

    def build(self, theta: Tensor) -> None:
        super().build(theta)
        self.count = min(self.space.n, self.block or MAX_BLOCK)
        step = torch.full_like(theta, self.step)
        self.steps = torch.where(self.space.discrete, step.maximum(1 / self.space.scale), step)

    def ask(self) -> Tensor:
        centre = self.theta.detach()
        order = torch.randperm(self.space.n, generator=self.generator, device=centre.device)
        self.chosen = order[: self.count]
        moves = torch.nn.functional.one_hot(self.chosen, self.space.n) * self.steps
        up, down = self.space.project(centre + moves), self.space.project(centre - moves)
        if self.scheme == "central":
            return torch.cat([up, down])
        farther = (up - centre).sum(1) >= (centre - down).sum(1)  # at a bound, look inwards
        return torch.cat([centre[None], torch.where(farther[:, None], up, down)])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.losses
        if self.scheme == "central":
            rises = differences(losses, self.count)
            moves = theta[: len(rises)] - theta[self.count :]
        else:
            rises = torch.nan_to_num(losses[1:] - losses[0], nan=0.0)
            moves = theta[1:] - theta[0]
        if count := len(rises):
            slope = torch.zeros_like(self.theta)
            chosen = self.chosen[:count]
            slope[chosen] = rises.to(slope) / moves.gather(1, chosen[:, None])[:, 0]
            self.descend(slope)
