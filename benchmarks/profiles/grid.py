"""Many runs: what is planned, what it will cost, and two processes that do it. One line of JSON a run."""

import contextlib
import json
import multiprocessing
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.profiles.peers import refusal
from benchmarks.profiles.problems import Problem
from benchmarks.profiles.runs import Row, code_of, execute, key

#: Seconds a render that are assumed where no row tells it: of the problem, and of the method.
ASSUMED_RENDER, ASSUMED_METHOD = 5e-4, 3e-4
#: Seconds that are assumed around the renders of a run: its true losses, and the building of the task.
ASSUMED_AROUND = 0.5

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

    Seconds a render are medians of rows: of the problem, and of the method at the nearest n (in ratio).
    """
    of_problem: dict[str, list[float]] = {}
    around: dict[str, list[float]] = {}
    of_method: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row["renders"]:
            of_problem.setdefault(row["problem"], []).append(row["seconds_render"] / row["renders"])
            rest = row["seconds"] - row["seconds_render"] - row["seconds_method"]
            around.setdefault(row["problem"], []).append(rest)
            at = of_method.setdefault(row["method"], {}).setdefault(row["n"], [])
            at.append(row["seconds_method"] / row["renders"])
    renders, seconds = 0, 0.0
    for problem, name in runs:
        n = problem.size()
        known = of_method.get(name, {})
        nearest = min(known, key=lambda other: max(n / other, other / n), default=None)
        method = ASSUMED_METHOD if nearest is None else median(known[nearest])
        render = median(of_problem.get(problem.name, [ASSUMED_RENDER]))
        renders += problem.renders(n)
        seconds += median(around.get(problem.name, [ASSUMED_AROUND])) + problem.renders(n) * (render + method)
    return renders, seconds


def perform(runs: list[Run], out: Path, jobs: int, marks: Mapping[str, Any]) -> Iterator[Row]:
    """Execute runs, and append each row, with `marks`, to a file as soon as it is there. One job is this process."""
    out.parent.mkdir(parents=True, exist_ok=True)
    mend(out)
    with out.open("a") as file, contextlib.closing(executed(runs, jobs)) as rows:
        for row in rows:
            file.write(json.dumps({**row, **marks}, ensure_ascii=False) + "\n")
            file.flush()
            yield row


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
