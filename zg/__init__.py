"""ZeroGrads: optimise any black-box graphics pipeline with a surrogate of its loss, learned online.

    import zg
    result = zg.optimize(render, init=[0.2, 0.4], reference=picture)

Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics", ACM TOG 2024.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zg.api import minimize, optimize
    from zg.ask_and_tell import Optimizer
    from zg.budget import Budget, StopReason
    from zg.errors import SettingError
    from zg.layer.module import Layer
    from zg.ledger import Evaluation
    from zg.method import Method
    from zg.problem import Problem
    from zg.run.result import Result
    from zg.scenes import WorkerTask
    from zg.space import Block, ParameterSpace
    from zg.task import Task
    from zg.workers.pool import PoolSettings, Scene, open_pool

# The module of each public name. A module is imported when its name is first used, so `zg list` imports no PyTorch.
_HOMES = {
    "SettingError": "errors",
    "Budget": "budget",
    "Method": "method",
    "Evaluation": "ledger",
    "Layer": "layer.module",
    "Optimizer": "ask_and_tell",
    "Problem": "problem",
    "StopReason": "budget",
    "minimize": "api",
    "optimize": "api",
    "Result": "run.result",
    "Block": "space",
    "ParameterSpace": "space",
    "Task": "task",
    "PoolSettings": "workers.pool",
    "Scene": "workers.pool",
    "WorkerTask": "scenes",
    "open_pool": "workers.pool",
}
__all__ = [
    "Block",
    "Budget",
    "Evaluation",
    "Layer",
    "Method",
    "Optimizer",
    "ParameterSpace",
    "PoolSettings",
    "Problem",
    "Result",
    "Scene",
    "SettingError",
    "StopReason",
    "Task",
    "WorkerTask",
    "minimize",
    "open_pool",
    "optimize",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that has it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zg' has no attribute '{name}'")
    return getattr(importlib.import_module(f"zg.{_HOMES[name]}"), name)
