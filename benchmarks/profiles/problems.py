"""Problems of the zoo and of BBOB as one kind of thing."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks import zoo
from benchmarks.profiles.bbob import BUDGET, PRECISION, BBOBTask, group, parse
from zg.task import Task

#: The closest target of the zoo, as a fraction of the distance of the start's loss from the best known one.
CLOSEST = 1e-6
Variant = Literal["", "one block", "no bounds"]


@dataclass(frozen=True)
class Problem:
    """An instance of a problem. Its loss is that of the task minus `offset`.

    suite: `zoo` or `bbob`. name: in the zoo, or such as `f10 5-D`. instance: of the generator; also the method's seed.
    variant: `one block` (zoo) makes all parameters one unnamed block; `no bounds` (bbob) hides the bounds.
    """

    suite: Literal["zoo", "bbob"]
    name: str
    instance: int
    variant: Variant = ""

    def make(self) -> Task:
        """The task, not set up."""
        if self.suite == "zoo":
            return zoo.ZOO[self.name].make(self.instance, one_block=self.variant == "one block")
        return BBOBTask(*parse(self.name), self.instance, bounded=self.variant != "no bounds")

    @property
    def family(self) -> str:
        """The family in the zoo; the group of functions in BBOB."""
        return zoo.ZOO[self.name].family if self.suite == "zoo" else group(parse(self.name)[0])

    def renders(self, n: int) -> int:
        """The budget of a run with n parameters."""
        return zoo.renders(n) if self.suite == "zoo" else BUDGET * n

    def precision(self, start: float) -> float:
        """The loss above the best known one at which a problem is solved; `start` is the start's loss above it."""
        return CLOSEST * start if self.suite == "zoo" else PRECISION

    def size(self) -> int:
        """Number of parameters n."""
        return parse(self.name)[1] if self.suite == "bbob" else zoo_size(self.name)


@cache
def zoo_size(name: str) -> int:
    """Number of parameters of a problem of the zoo; every instance has the same."""
    task = zoo.ZOO[name].make(1)
    task.setup()
    return task.space.n


def truth(task: Any, x: Tensor) -> float:
    """The loss without noise of x [n] in the user's units."""
    return float(task.truth(x[None])[0])


def reachable(task: Any) -> bool:
    """Whether the lowest loss is known: the offset."""
    return bool(task.reachable)


def offset(task: Any) -> float:
    """What is subtracted from the losses of a task: the optimum of a function of BBOB, else 0."""
    return float(getattr(task, "optimum", 0.0))


def start_of(task: Task) -> Tensor:
    """The start x₀ [n] in the user's units."""
    with torch.no_grad():
        return task.space.to_user(task.space.project(task.space.init))
