"""The row of a run. Tables and figures are made from rows and curves only."""

import math
from typing import Any, NamedTuple, TypedDict

import torch

from zg.budget import StopReason
from zg.config.compose import Config, class_name
from zg.loop import Loop
from zg.method import Method
from zg.run.provenance import code_hash, config_hash, machine, peak_mb, revision
from zg.task import Task


class Row(TypedDict, total=False):
    """One run, also one that failed. The metrics of its result are further keys, `metric_NAME`.

    task, method: registered names. resolved: the optimiser or surrogate that the method chose.
    feedback: `loss` or `image`. settings: of the method.
    config_hash: of task and method with their settings. code_hash: of the files that the run imports.
    revision: of the clone. machine: processor, cores, system.
    threads: number of threads of PyTorch. jobs: number of runs that shared the machine.
    renders, failed_renders: counted, and failed among them. max_renders: the budget. iterations: calls of ask and tell.
    seconds_render, seconds_method: time in seconds. peak_mb: largest memory of the process, in MB.
    seconds: from start to result, with the curve and all parts of a run that was resumed, without pictures.
    init_loss, final_loss: losses of the initial and the recommended θ, rendered again and not counted.
    best_loss: the lowest counted loss.
    last_loss: loss of θ after the last step, likewise, for methods that recommend an earlier θ; else NaN.
    stop_reason: a `StopReason`, or a reason of the method.
    error: message of the exception that ended the run, else of the last failed render.
    """

    task: str
    method: str
    resolved: str
    feedback: str
    settings: dict[str, Any]
    seed: int
    config_hash: str
    code_hash: str
    revision: str
    machine: str
    threads: int
    jobs: int
    max_renders: int
    renders: int
    failed_renders: int
    iterations: int
    seconds_render: float
    seconds_method: float
    seconds: float
    peak_mb: float
    init_loss: float
    final_loss: float
    best_loss: float
    last_loss: float
    stop_reason: str
    error: str


class Labels(NamedTuple):
    """Entries of a row that the loop does not know: names of task and method, composed config, parallel runs."""

    task: str
    method: str
    config: Config
    jobs: int

    @property
    def method_settings(self) -> dict[str, Any]:
        """The settings of the method in the config; empty if there is no config."""
        return dict(self.config.get("model", {}).get("init_args", {}))


def label(task: Task, method: Method, config: Config, jobs: int, names: tuple[str, str] | None) -> Labels:
    """The labels of a run. The names are those given, else the registered names, else the names of the classes."""
    task_name = class_name("task", config["data"]) if "data" in config else type(task).__name__
    method_name = class_name("method", config["model"]) if "model" in config else type(method.core).__name__
    return Labels(*(names or (task_name, method_name)), config, jobs)


def describe(loop: Loop, task: Task, labels: Labels, error: str = "") -> Row:
    """The row of a run, without measured losses and metrics. error: message of the exception that ended the run."""
    method = loop.method
    ledger = method.ledger if method.started else None
    is_interrupted = loop.asked_to_stop == StopReason.INTERRUPTED
    own = {key: value for key, value in labels.config.items() if key in ("data", "model")}
    return {
        "task": labels.task,
        "method": labels.method,
        "resolved": method.resolved,
        "feedback": method.feedback,
        "settings": labels.method_settings,
        "seed": loop.seed,
        "config_hash": config_hash(own),
        "code_hash": code_hash(type(task).__module__, type(method.core).__module__),
        "revision": revision(),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "jobs": labels.jobs,
        "max_renders": loop.budget.max_renders,
        "renders": ledger.renders if ledger else 0,
        "failed_renders": ledger.failed if ledger else 0,
        "iterations": loop.iteration,
        "seconds_render": ledger.seconds_render if ledger else 0.0,
        "seconds_method": loop.seconds_method,
        "seconds": loop.seconds,
        "peak_mb": peak_mb(),
        "init_loss": math.nan,
        "final_loss": math.nan,
        "best_loss": ledger.best_loss if ledger else math.nan,
        "last_loss": math.nan,
        "stop_reason": str(StopReason.ERROR if error and not is_interrupted else (loop.stop_reason() or "")),
        "error": error or (ledger.last_error if ledger else ""),
    }
