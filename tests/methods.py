"""Every registered method, and variants that execute other parts of the code."""

import configparser
import importlib
from pathlib import Path
from typing import Any

from zg.budget import Budget
from zg.ledger import Ledger
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.problem import Problem
from zg.space import ParameterSpace
from zg.task import Task

ROOT = Path(__file__).resolve().parents[1]


def registered() -> dict[str, str]:
    """{name: module:class} from setup.cfg of this clone, which need not be the installed one."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["zerograds.methods"].strip().splitlines()
    return dict(line.split(" = ") for line in lines)


# Variants: a name, the method and its settings.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "finite_differences, forward": ("finite_differences", {"scheme": "forward", "block": 3}),
    "finite_differences, block": ("finite_differences", {"block": 2}),
    "spsa, averaged": ("spsa", {"pairs": 3, "step": 0.2}),
    "fr22, averaged": ("fr22", {"pairs": 4, "lr": 0.02}),
    "cmaes, diagonal": ("cmaes", {"diagonal": True}),
    "simulated_annealing, one chain": ("simulated_annealing", {"chains": 1}),
    "nevergrad, in batches": ("nevergrad", {"num_workers": 7}),
    "nevergrad, TwoPointsDE": ("nevergrad", {"optimizer": "TwoPointsDE", "num_workers": 5}),
    "nevergrad, OnePlusOne": ("nevergrad", {"optimizer": "OnePlusOne"}),
    "nevergrad, PSO": ("nevergrad", {"optimizer": "PSO"}),
    "nevergrad, TBPSA": ("nevergrad", {"optimizer": "TBPSA", "num_workers": 4}),
    "nevergrad, CMA": ("nevergrad", {"optimizer": "CMA"}),
    "zerograds, bayesian_quadratic": ("zerograds", {"surrogate": "bayesian_quadratic"}),
    "zerograds, dd_cmaes": ("zerograds", {"surrogate": "dd_cmaes"}),
    "zerograds, assisted_cmaes": ("zerograds", {"surrogate": "assisted_cmaes"}),
    "zerograds, two_searches": ("zerograds", {"surrogate": "two_searches"}),
    "zerograds, neural": ("zerograds", {"surrogate": "neural"}),
    "zerograds, sketched_gradient": ("zerograds", {"surrogate": "sketched_gradient"}),
}
# NGOpt chooses COBYLA here, which draws no random numbers.
DETERMINISTIC = ("nevergrad",)
# Told the pixels' errors, so without a reference they are refused.
NEED_A_REFERENCE = ("dfols",)
# The published learning rate is for budgets that are a hundred times larger.
VARIANTS["zerograds-paper"] = ("zerograds-paper", {"lr_theta": 0.02})
CASES = {name: (name, {}) for name in registered()} | VARIANTS


def find(name: str) -> type[Method]:
    """The class of a registered method."""
    module, _, attribute = registered()[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def make(case: str) -> Method:
    """The method of a case, with its settings."""
    name, settings = CASES[case]
    return find(name)(**settings)


def looped(method: Method, task: Task, max_renders: int, seed: int = 0) -> Loop:
    """A loop with a method that was started on a task, without a run."""
    task.seed = seed
    task.setup()
    loop = Loop(method, Budget(max_renders), seed)
    loop.start(Objective(task, max_renders, seed))
    return loop


def started(method: Method, space: ParameterSpace, max_renders: int = 1000, seed: int = 0) -> Any:
    """The method, started on a space, without a task."""
    method.start(Problem.of_space(space, seed, max_renders=max_renders), Ledger(max_renders, space.init.clone()))
    return method
