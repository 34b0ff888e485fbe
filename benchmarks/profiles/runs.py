"""One run: a method on an instance of a problem, as a row.

The curve is the same for every method: at log-spaced counts of renders, for a problem without noise the lowest loss so
far, for one with noise the loss without noise of the θ that is recommended at this count. The start counts as known.
A run without noise ends when the problem is solved, for nothing below is distinguished.
"""

import contextlib
import hashlib
import math
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from torch import Tensor

from benchmarks.profiles.bbob import BUDGETS
from benchmarks.profiles.peers import make_peer
from benchmarks.profiles.problems import Problem, offset, reachable, start_of, truth
from zg.budget import Budget
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.run.provenance import ROOT, code_hash, machine, revision
from zg.task import Task

#: Number of points of a curve per decade of renders.
PER_DECADE = 12


class Row(TypedDict):
    """A run. Losses are those of `Problem`; NaN where the run failed.

    suite, problem, family, instance, variant: of the problem. method: name of the peer. resolved: what it chose.
    n, budget: number of parameters, and of renders that were allowed. renders: number that was counted.
    reachable: whether the lowest loss is 0. start, final: losses. curve: pairs of a count of renders and the loss then.
    stop: why it ended. error: message of the exception that ended it.
    seconds, seconds_method, seconds_render: CPU time of the run, of the method, and of the renders.
    code: hash of the code of problem and method. revision, date, machine: where the row is from.
    """

    suite: str
    problem: str
    family: str
    instance: int
    variant: str
    method: str
    resolved: str
    n: int
    budget: int
    renders: int
    reachable: bool
    start: float
    final: float
    curve: list[tuple[int, float]]
    stop: str
    error: str
    seconds: float
    seconds_method: float
    seconds_render: float
    code: str
    revision: str
    date: str
    machine: str


def execute(problem: Problem, name: str) -> Row:
    """Run the method `name` on a problem. An exception becomes a row with its message."""
    task, method = problem.make(), make_peer(name)
    row: Row = {
        "suite": problem.suite,
        "problem": problem.name,
        "family": problem.family,
        "instance": problem.instance,
        "variant": problem.variant,
        "method": name,
        "resolved": "",
        "n": 0,
        "budget": 0,
        "renders": 0,
        "reachable": reachable(task),
        "start": math.nan,
        "final": math.nan,
        "curve": [],
        "stop": "error",
        "error": "",
        "seconds": 0.0,
        "seconds_method": 0.0,
        "seconds_render": 0.0,
        "code": code_of(problem, name),
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    with contextlib.closing(task):
        try:
            minimise(problem, task, method, row)
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"
    return row


def minimise(problem: Problem, task: Task, method: Method, row: Row) -> None:
    """The run itself, which fills in the row."""
    first = time.process_time()
    task.seed = problem.instance
    task.setup()
    budget = problem.renders(task.space.n)
    row["n"], row["budget"] = task.space.n, budget
    loop, objective = Loop(method, Budget(budget), problem.instance), Objective(task, budget, problem.instance)
    curve = Curve(task, counts(budget, task.space.n), objective)
    row["start"] = curve.start
    solved = problem.precision(curve.start) if row["reachable"] and not task.noisy else -math.inf
    clock = Clock()
    with clock("method"):
        loop.start(objective)
    while curve.best > solved and loop.stop_reason() is None:
        with clock("method"):
            theta = loop.ask()
        before = loop.renders
        with clock("render"):
            evaluation = objective.evaluate(theta, loop.iteration, images=method.feedback == "image")
        curve.add(before, evaluation.losses, method)
        with clock("method"):
            loop.tell(theta, evaluation)
    row["stop"] = loop.stop_reason() or "solved"
    row["resolved"], row["renders"] = method.resolved, loop.renders
    row["seconds_method"], row["seconds_render"] = short(clock.seconds["method"]), short(clock.seconds["render"])
    row["final"] = short(curve.now(method, loop.renders))
    row["seconds"] = short(time.process_time() - first)
    is_complete = curve.points and curve.points[-1][0] == loop.renders
    row["curve"] = curve.points if is_complete else [*curve.points, (loop.renders, row["final"])]


class Clock:
    """Adds up the CPU time of parts of a run, which neighbours on the machine change less than the time of the wall."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.process_time() - start


class Curve:
    """The curve of a run. `best` is the lowest loss so far, `start` that of the start."""

    def __init__(self, task: Task, at: list[int], objective: Objective) -> None:
        self.task, self.objective = task, objective
        self.waiting = at[::-1]
        self.offset = offset(task)
        self.start = self.best = truth(task, start_of(task)) - self.offset
        self.points: list[tuple[int, float]] = []
        self._measured: tuple[Tensor, float] | None = None

    def add(self, before: int, losses: Tensor, method: Method) -> None:
        """Enter the losses [B] of the next renders, after `before` ones, before the method is told them."""
        if self.task.noisy:
            while self.waiting and self.waiting[-1] < before + len(losses):
                self.points.append((self.waiting.pop(), short(self.now(method, before))))
            return
        for count, loss in enumerate(losses.tolist(), before + 1):
            if loss - self.offset < self.best:  # False for NaN, a failed render
                self.best = loss - self.offset
            if self.waiting and self.waiting[-1] == count:
                self.points.append((self.waiting.pop(), short(self.best)))

    def now(self, method: Method, renders: int) -> float:
        """The loss that is reported after this many renders."""
        if not self.task.noisy:
            return self.best
        if not renders:
            return self.start
        theta = method.recommend()
        if self._measured is None or not theta.equal(self._measured[0]):
            self._measured = theta.clone(), truth(self.task, self.task.space.to_user(theta)) - self.offset
        return self._measured[1]


def counts(budget: int, n: int) -> list[int]:
    """The counts of renders of a curve: log-spaced, and those of BBOB's table."""
    decades = math.log10(budget)
    spaced = {round(10 ** (k / PER_DECADE)) for k in range(math.ceil(PER_DECADE * decades))}
    return sorted({*spaced, *(share * n for share in BUDGETS if share * n <= budget), budget})


def short(value: float) -> float:
    """A number with six digits, for files."""
    return float(f"{value:.6g}")


def code_of(problem: Problem, name: str) -> str:
    """A hash of the code of a problem and of a method, and of what they import; 12 hexadecimal digits."""
    kinds = {kind for one in (problem.make(), make_peer(name)) for kind in type(one).__mro__}
    return _code_of(frozenset(kind.__module__ for kind in kinds))


@cache
def _code_of(modules: frozenset[str]) -> str:
    paths = {Path(getattr(sys.modules[module], "__file__", None) or "/") for module in modules}
    own = sorted(path for path in paths if path.is_relative_to(ROOT / "benchmarks"))
    digest = hashlib.sha256(code_hash(*modules).encode())
    for path in own:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def key(row: Row | dict[str, Any]) -> tuple[Any, ...]:
    """What a run is a run of."""
    return row["suite"], row["problem"], row["instance"], row["variant"], row["method"]
