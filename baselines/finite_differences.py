"""Finite differences along the coordinates, and Adam.

    central  g_j = (f(θ + h e_j) − f(θ − h e_j)) / 2h        forward  g_j = (f(θ + h e_j) − f(θ)) / h

Central differences need two renders per coordinate and are exact on a quadratic. Forward differences need one render
per coordinate, and one at θ (Nocedal and Wright 2006, "Numerical Optimization", section 8.1). With many parameters,
each iteration uses a random block of coordinates; the other g_j are zero.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from baselines.descent import Descent, differences
from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range

SCHEMES = ("central", "forward")
# Default of the largest block. With larger blocks, usual budgets allow few iterations only.
MAX_BLOCK = 64


class FiniteDifferences(Descent):
    """Adam on finite differences.

    scheme: central or forward.
    step: h, scaled units. Integer and binary coordinates move by at least 1 in the user's units, as they are rounded.
    lr: Adam's learning rate, scaled units.
    block: coordinates per iteration, drawn again in each iteration; by default all, but at most 64.
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
        up_is_farther = (up - centre).sum(1) >= (centre - down).sum(1)  # False near an upper bound
        return torch.cat([centre[None], torch.where(up_is_farther[:, None], up, down)])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.losses
        if self.scheme == "central":
            changes = differences(losses, self.count)
            moves = theta[: len(changes)] - theta[self.count :]
        else:
            changes = torch.nan_to_num(losses[1:] - losses[0], nan=0.0)
            moves = theta[1:] - theta[0]
        if count := len(changes):
            gradient = torch.zeros_like(self.theta)
            chosen = self.chosen[:count]
            gradient[chosen] = changes.to(gradient) / moves.gather(1, chosen[:, None])[:, 0]
            self.descend(gradient)
