"""After a call the caller's process is as it was: run 100 leaves what run 2 left."""

import gc
import os
import random
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import zg
from baselines.es import ES
from tests.processes import descriptors, resident_mb, until
from tests.zg.workers.test_task import Disk
from zg.budget import Budget
from zg.run.run import run

#: Megabytes by which the memory of this process may grow from the second run to the last one.
GROWTH = 12.0
#: Megabytes a run beside that, by what a library itself keeps: 25 runs of NGOpt without this package keep 8 MB.
OF_LIBRARY = {"nevergrad": 0.5}


def held() -> dict[str, object]:
    """What a run could leave behind in this process."""
    gc.collect()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "tasks of the kernel": len(list(Path("/proc/self/task").iterdir())),
        "descriptors": sorted(descriptors()),
        "handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "torch": torch.get_rng_state().tolist(),
        "torch threads": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "random": random.getstate(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "filters of warnings": list(warnings.filters),
    }


def quadratic(x):
    return float(((x - 1) ** 2).sum())


def call(k: int, **settings) -> None:
    zg.minimize(quadratic, [2.0, 2.0], max_renders=30, curve_points=0, seed=k, **settings)


KINDS = {
    "default": call,
    "threads": lambda k: call(k, method="es", workers=4),
    "cmaes": lambda k: call(k, method="cmaes"),
    "nevergrad": lambda k: call(k, method="nevergrad"),
    "folder": lambda k: call(k, method="es", folder=f"run{k}"),
    "processes": lambda k: run(Disk(workers=2), ES(), Budget(20), seed=k, curve_points=0),
}


def compare(kind: str, runs: int) -> None:
    for k in range(2):
        KINDS[kind](k)
    before, memory = held(), resident_mb([os.getpid()])
    for k in range(2, runs):
        KINDS[kind](k)
    growth = resident_mb([os.getpid()]) - memory

    def left() -> dict[str, tuple[object, object]]:
        after = held()
        return {name: (before[name], after[name]) for name in before if before[name] != after[name]}

    until(lambda: not left(), left, seconds=10.0)  # threads that were told to end need a moment
    assert growth < GROWTH + runs * OF_LIBRARY.get(kind, 0.0), (
        f"memory has grown by {growth:.1f} MB from run 2 to run {runs}"
    )


@pytest.mark.parametrize("kind", ["threads", "folder", "processes"])
def test_ten_runs_leave_what_two_runs_left(kind):
    compare(kind, 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_runs_leave_what_two_runs_left(kind):
    compare(kind, 100)
