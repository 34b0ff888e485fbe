"""Probes: small measurements besides the runs. Each has a process of its own, and a JSON file that is kept.

They measure tasks (n, seconds of a render), what a method costs at an n, and how much its gradient varies. The expected
time, Table 4 and two of the claims are based on them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from baselines.compare.grid import label_of
from baselines.compare.isolation import Pool
from baselines.compare.rows import Row
from zg.config.compose import Config
from zg.run.files import write_json
from zg.run.provenance import code_hash, config_hash, machine

if TYPE_CHECKING:
    from zg.loop import Loop


@dataclass(frozen=True, eq=False)
class Probe:
    """A measurement: `work(*arguments, beat)` returns its row. about: columns of the row that say what is measured."""

    about: Row
    path: Path
    work: Callable[..., Row]
    arguments: tuple[Any, ...]

    @property
    def key(self) -> str:
        """A short hash of everything that the result depends on."""
        return config_hash([self.about, self.arguments, self.code, machine()])

    @property
    def code(self) -> str:
        """The hash of the code that the measurement imports."""
        configs = [value for value in self.arguments if isinstance(value, dict)]
        classes = [config[name]["class_path"] for config in configs for name in ("data", "model") if name in config]
        return code_hash(self.work.__module__, *(path.rpartition(".")[0] for path in classes))

    def read(self) -> Row | None:
        """The row, if there is one of the present code and machine."""
        row = json.loads(self.path.read_text()) if self.path.is_file() else {}
        return row if row.get("key") == self.key else None


def run_probes(probes: Sequence[Probe], side_by_side: int, silence: float, said: str) -> list[Row]:
    """The rows of all probes, in order. Probes with a row are not measured again. A failure is a row with its error.

    silence: seconds without a sign of life that end a probe. said: what the bar shows.
    """
    missing = [probe for probe in probes if probe.read() is None]
    waiting = iter(missing)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), transient=True)
    with Pool(silence, 1) as pool, bar:
        line = bar.add_task(said, total=len(missing), visible=bool(missing))
        while True:
            while len(pool.running) < side_by_side and (probe := next(waiting, None)):
                pool.start(probe, attempt, (probe.work, probe.arguments))
            if not pool.running:
                break
            for ended in pool.poll(0.5):
                probe = ended.name
                row = ended.row or {"error": ended.error}
                probe.path.parent.mkdir(parents=True, exist_ok=True)
                write_json(probe.path, probe.about | row | {"machine": machine(), "key": probe.key})
                bar.advance(line)
    return [found for probe in probes if (found := probe.read())]


def attempt(
    work: Callable[..., Row], arguments: tuple[Any, ...], folder: None, beat: Callable[[int, int], None]
) -> Row:
    """In the probe's process: the row of the work; an exception becomes the error of the row."""
    try:
        return {"error": ""} | work(*arguments, beat)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def task_probe(task: str, config: Config, tracked: bool, out: Path) -> Probe:
    """The probe of a task's size and of the time of a render. tracked: whether its runs are logged to W&B."""
    task = label_of(task)
    return Probe({"task": task}, out / "probes" / "tasks" / f"{task}.json", measure_task, (config, tracked))


def measure_task(config: Config, tracked: bool, beat: Callable[[int, int], None]) -> Row:
    """n, seconds of a render, and the seconds of a run besides rendering and method: pictures, files, W&B."""
    import tempfile
    import time

    from zg.cli.fit import fit

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = fit(config, Path(folder) / "run", wandb="offline" if tracked else "disabled")
    row = result.row
    spent = row["seconds_render"] + row["seconds_method"]
    return {
        "n": len(result.theta),
        "seconds_render": row["seconds_render"] / row["renders"],
        "seconds_beside": time.perf_counter() - start - spent,
        "code_hash": row["code_hash"],
        "revision": row["revision"],
    }


def start_loop(config: Config) -> "Loop":
    """The loop of a run of this config, before its first iteration. For the process of a probe: it imports PyTorch."""
    from zg.budget import Budget
    from zg.config.build import instantiate, parse
    from zg.loop import Loop
    from zg.objective import Objective

    parsed = parse(config)
    task, method = (instantiate(key, parsed[key]) for key in ("data", "model"))
    task.seed = config["seed"]
    task.setup()
    loop = Loop(method, Budget(config["max_renders"]), config["seed"])
    loop.start(Objective(task, config["max_renders"], config["seed"]))
    return loop
