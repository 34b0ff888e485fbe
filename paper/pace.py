"""How fast each run is: a few of its own iterations, timed. The expected time of a preset with `paced` is made of this.

A run whose method ends by itself takes less than that.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from baselines.compare.grid import Job
from baselines.compare.rows import Row
from paper.probes import Probe, start_loop
from zg.config.compose import Config

# Iterations are timed for this number of seconds, but at least LEAST of them. The first one is not timed.
SECONDS, LEAST = 2.0, 3


def pace_probes(jobs: Sequence[Job], out: Path) -> list[Probe]:
    """A probe for each task and method of these runs, with the settings of the first of them."""
    found: dict[str, Probe] = {}
    for job in jobs:
        about = {"task": job.task, "method": job.method, "settings_from": job.settings}
        name = "-".join(about.values())
        found.setdefault(name, Probe(about, out / "probes" / "pace" / f"{name}.json", measure_pace, (job.config,)))
    return list(found.values())


def measure_pace(config: Config, beat: Callable[[int, int], None]) -> Row:
    """Seconds a render, of task and method together."""
    import torch

    torch.set_num_threads(1)
    loop = start_loop(config)
    loop.iterate()
    first, begin, iterations = loop.renders, time.perf_counter(), 0
    while not loop.stop_reason() and (iterations < LEAST or time.perf_counter() - begin < SECONDS):
        loop.iterate()
        iterations += 1
        beat(iterations, LEAST)
    seconds, renders = time.perf_counter() - begin, loop.renders - first
    loop.objective.task.close()
    return {"seconds_render": seconds / renders if renders else 0.0, "renders": renders}


def pace_of(job: Job, rows: Sequence[Row]) -> float | None:
    """The seconds a render of a run; None where they could not be measured."""
    wanted = {"task": job.task, "method": job.method, "settings_from": job.settings}
    row = next((row for row in rows if wanted.items() <= row.items() and not row["error"]), None)
    return None if row is None else float(row["seconds_render"])
