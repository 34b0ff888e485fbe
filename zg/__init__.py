"""ZeroGrads: optimise any black-box graphics pipeline with a surrogate of its loss, learned online.

    import zg
    result = zg.optimize(render, init=[0.2, 0.4], reference=picture)

Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics", ACM TOG 2024.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zg.api import Optimizer, minimize, optimize
    from zg.budget import Budget, StopReason
    from zg.errors import SettingError
    from zg.ledger import Evaluation
    from zg.method import Method
    from zg.problem import Problem
    from zg.run.result import Result
    from zg.space import Block, ParameterSpace
    from zg.task import Task
    from zg.workers.pool import Workers
    from zg.workers.task import WorkerTask

# The module of each public name. A module is imported when its name is first used, so `zg list` imports no PyTorch.
_HOMES = {
    "SettingError": "errors",
    "Budget": "budget",
    "Method": "method",
    "Evaluation": "ledger",
    "Optimizer": "api",
    "Problem": "problem",
    "StopReason": "budget",
    "minimize": "api",
    "optimize": "api",
    "Result": "run.result",
    "Block": "space",
    "ParameterSpace": "space",
    "Task": "task",
    "WorkerTask": "workers.task",
    "Workers": "workers.pool",
}
__all__ = [
    "Block",
    "Budget",
    "Evaluation",
    "Method",
    "Optimizer",
    "ParameterSpace",
    "Problem",
    "Result",
    "SettingError",
    "StopReason",
    "Task",
    "WorkerTask",
    "Workers",
    "minimize",
    "optimize",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zg' has no attribute '{name}'")
    return getattr(importlib.import_module(f"zg.{_HOMES[name]}"), name)
