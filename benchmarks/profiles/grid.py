"""Many runs: what is planned, what it will cost, and two processes that do it. One line of JSON a run."""

import contextlib
import json
import math
import multiprocessing
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.profiles.peers import refusal
from benchmarks.profiles.problems import Problem, start_of, truth
from benchmarks.profiles.runs import PER_DECADE, Row, code_of, execute, key
from zg.objective import Objective

#: Seconds a render that a method is assumed to take itself where no row tells it.
ASSUMED = 3e-4
#: Renders in a batch with which the time of a render is measured.
BATCH = 10

Run = tuple[Problem, str]


def plan(problems: Iterable[Problem], methods: list[str]) -> tuple[list[Run], list[str]]:
    """All runs, instance after instance and the small problems first; and why some are left out."""
    runs: list[Run] = []
    refused: dict[str, None] = {}
    for problem in sorted(problems, key=lambda problem: (problem.instance, problem.size())):
        for name in methods:
            why = refusal(name, problem.size())
            if why:
                refused[why] = None
            else:
                runs.append((problem, name))
    return runs, list(refused)


def missing(runs: Iterable[Run], rows: Iterable[Row]) -> list[Run]:
    """The runs that have no row with their present code."""
    there = {(*key(row), row["code"]) for row in rows}
    return [
        (problem, name) for problem, name in runs if (*identity(problem, name), code_of(problem, name)) not in there
    ]


def identity(problem: Problem, name: str) -> tuple[Any, ...]:
    """The key of the row of a run."""
    return problem.suite, problem.name, problem.instance, problem.variant, name


def estimate(runs: Iterable[Run], rows: Iterable[Row]) -> tuple[int, float]:
    """Number of renders of these runs, and seconds in one process.

    Renders and true losses are measured now. The methods' own times are medians of rows at the nearest n (in ratio).
    """
    methods: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row["renders"]:
            at = methods.setdefault(row["method"], {}).setdefault(row["n"], [])
            at.append(row["seconds_method"] / row["renders"])
    renders, seconds = 0, 0.0
    for problem, name in runs:
        n, known = problem.size(), methods.get(name, {})
        nearest = min(known, key=lambda other: max(n / other, other / n), default=None)
        own = ASSUMED if nearest is None else median(known[nearest])
        render, around = seconds_of(problem.suite, problem.name)
        renders += problem.renders(n)
        seconds += around + problem.renders(n) * (render + own)
    return renders, seconds


@cache
def seconds_of(suite: Literal["zoo", "bbob"], name: str) -> tuple[float, float]:
    """CPU time of a render of a problem, and of what is around the renders of a run: its building and true losses."""
    first = time.process_time()
    task = Problem(suite, name, 1).make()
    with contextlib.closing(task):
        task.setup()
        built = time.process_time() - first
        objective = Objective(task, 3 * BATCH)
        theta = objective.start + 0.05 * torch.randn(BATCH, task.space.n, generator=task.generator("estimate"))
        taken = []
        for iteration in range(3):
            start = time.process_time()
            objective.evaluate(theta.to(objective.start), iteration)
            taken.append(time.process_time() - start)
        start = time.process_time()
        truth(task, start_of(task))
        points = PER_DECADE * math.log10(5000) if task.noisy else 1
        return min(taken) / BATCH, built + points * (time.process_time() - start)


def perform(runs: list[Run], out: Path, jobs: int, marks: Mapping[str, Any]) -> Iterator[Row]:
    """Execute runs, and append each row, with `marks`, to a file as soon as it is there. One job is this process."""
    out.parent.mkdir(parents=True, exist_ok=True)
    mend(out)
    with out.open("a") as file, contextlib.closing(executed(runs, jobs)) as rows:
        for row in rows:
            kept = {**row, "curve": steps(row["curve"]), **marks}
            file.write(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            yield row


def steps(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points of a curve at which the loss changes, and its last one: the others say the same again."""
    last = len(curve) - 1
    return [point for k, point in enumerate(curve) if k in (0, last) or point[1] != curve[k - 1][1]]


def executed(runs: list[Run], jobs: int) -> Generator[Row]:
    """The rows of runs, in the order in which they end."""
    if jobs == 1:
        for one in runs:
            yield execute(*one)
        return
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(execute, *one) for one in runs]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def mend(path: Path) -> None:
    """Remove a last line that a crash has cut."""
    if path.exists():
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)


def read(path: Path) -> list[Row]:
    """The rows of a file, in their order; none if there is no file. A last line that was cut is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
