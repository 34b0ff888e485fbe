"""COCO's noiseless BBOB suite of 24 functions, through the package coco-experiment.

Hansen et al. 2021, "COCO: a platform for comparing continuous optimizers in a black-box setting". The start is the
middle of the box [−5, 5]ⁿ, which is the start that COCO proposes. Instances differ in rotations and in the optimum.
"""

import contextlib
import tempfile
from functools import cache
from pathlib import Path

import cocoex
import numpy as np
import torch
from torch import Tensor

from zg.space import Block, ParameterSpace
from zg.task import Task

#: Targets: f − f_opt = 10², …, 10⁻⁸ in 51 steps.
TARGETS = tuple(10.0 ** np.linspace(2, -8, 51))
#: Budgets of the table, in renders per parameter. The last one is the budget of a run.
BUDGETS = (20, 50, 200, 2000)
BUDGET = BUDGETS[-1]
#: Below this f − f_opt all targets are reached.
PRECISION = 1e-8
#: {group: its last function}, in the words of COCO.
GROUPS = {"separable": 5, "moderate": 9, "ill-conditioned": 14, "multi-modal": 19, "weak structure": 24}


class BBOBTask(Task):
    """Function 1 to 24 of BBOB in `n` dimensions. It has no image: the loss is f(x).

    bounded: whether the space has the bounds −5 and 5. Without, one scaled unit is one unit of x.
    """

    reachable = True

    def __init__(self, function: int, n: int, instance: int, bounded: bool = True) -> None:
        super().__init__()
        self.function, self.n, self.instance, self.bounded = function, n, instance, bounded

    def build(self) -> None:
        self.problem = suite(self.n).get_problem_by_function_dimension_instance(self.function, self.n, self.instance)
        self.solution = torch.from_numpy(solution(self.problem))
        #: f_opt. COCO rounds it to two decimals; f of the solution differs in the last bits.
        self.optimum = round(self.problem(self.solution.numpy()), 2)
        start = torch.from_numpy(np.array(self.problem.initial_solution))
        low, high = (-5.0, 5.0) if self.bounded else (None, None)
        self.space = ParameterSpace(x=Block(start, low=low, high=high))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return torch.tensor([self.problem(one) for one in x.double().numpy()], dtype=torch.float64)

    def truth(self, x: Tensor) -> Tensor:
        """f [B] of x [B, n]."""
        return self.render(x)


@cache
def suite(n: int) -> cocoex.Suite:
    """The suite in n dimensions, with 200 instances of each function."""
    return cocoex.Suite("bbob", "instances: 1-200", f"dimensions: {n}")


def solution(problem: cocoex.Problem) -> np.ndarray:
    """The x_opt [n] of a function, which COCO writes to a file in the working directory."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        (file,) = Path(folder).iterdir()
        return np.loadtxt(file, ndmin=1)


def parse(name: str) -> tuple[int, int]:
    """`f10 5-D` -> function and dimension."""
    function, dimension = name.split()
    return int(function.removeprefix("f")), int(dimension.removesuffix("-D"))


def group(function: int) -> str:
    """The group of a function."""
    return next(name for name, last in GROUPS.items() if function <= last)


def names(dimensions: list[int]) -> list[str]:
    """The names of all functions in these dimensions."""
    return [f"f{function} {n}-D" for n in dimensions for function in range(1, 25)]
