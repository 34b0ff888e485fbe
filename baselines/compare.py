"""`zg compare`: methods × tasks × seeds -> rows, rows.csv, summary.md, curves.png, images.png.

Each run has a process of its own, forked from a server that has imported what every run needs: a crash stays in
its row, and a run does not pay for the imports. Tables and figures are made from rows and curves alone.
"""

import argparse
import csv
import json
import math
import multiprocessing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import report
from zg.config import Config, compose, method_config, task_config
from zg.errors import SettingError, check_positive
from zg.records import machine, revision, write_json

ROW_FILE = "row.json"


@dataclass(frozen=True)
class Job:
    """One run of a comparison."""

    task: str
    method: str
    seed: int
    config: Config
    folder: Path


def compare_command(words: list[str]) -> int:
    """Run `zg compare` with these words of the command line."""
    parser = argparse.ArgumentParser(prog="zg compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", required=True, help="names or YAML paths, separated by commas")
    parser.add_argument("--methods", required=True, help="names or YAML paths, separated by commas")
    parser.add_argument("--max-renders", type=int, help="budget of every run; by default the task's own")
    parser.add_argument("--max-seconds", type=float, help="longest time of a run, rendering and method together")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, … (default 3)")
    parser.add_argument("--out", required=True, type=Path, help="a new folder, for runs, tables and figures")
    options = parser.parse_args(words)
    limits = {key: getattr(options, key) for key in ("max_renders", "max_seconds") if getattr(options, key) is not None}
    check_positive(seeds=options.seeds, **limits)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise SettingError(f"out must be a new or empty folder, got '{options.out}'")
    jobs = plan(options.tasks.split(","), options.methods.split(","), range(options.seeds), limits, options.out)
    interrupted = not compare(jobs, options.out)
    print(f"\n{(options.out / 'summary.md').read_text()}")
    for name in ("rows.csv", "summary.md", "curves.png", "images.png"):
        if (options.out / name).is_file():
            print(options.out / name)
    return 130 if interrupted else 0


def plan(tasks: Iterable[str], methods: Iterable[str], seeds: Iterable[int], limits: Config, out: Path) -> list[Job]:
    """The jobs of a grid. Raises SettingError for a name that is not known."""
    seeds = list(seeds)
    task_configs = {stem(task): without(task_config(task), "model") for task in tasks}
    method_configs = {stem(method): model_of(method) for method in methods}
    return [
        Job(
            task,
            method,
            seed,
            compose(method_configs[method], {"video": False}, task_configs[task], limits, {"seed": seed}),
            out / "runs" / task / method / f"seed{seed}",
        )
        for task in task_configs
        for seed in seeds
        for method in method_configs
    ]


def without(config: Config, key: str) -> Config:
    """A config less one of its keys: a task brings no method along."""
    return {name: value for name, value in config.items() if name != key}


def model_of(method: str) -> Config:
    """The part of a method's config that is the method: it brings no task along."""
    config = method_config(method)
    if "model" not in config:
        raise SettingError(f"method '{method}' must be a config with a model, got {', '.join(config)}")
    return {"model": config["model"]}


def stem(name: str) -> str:
    """The name that a task or method goes by in tables: the stem of a path, else the name."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name


def compare(jobs: list[Job], out: Path) -> bool:
    """Run every job, then write tables and figures; False if interrupted, with those of the runs that had ended."""
    out.mkdir(parents=True, exist_ok=True)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["zg.fit", "baselines.cmaes"])
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.task} · {job.method} · seed {job.seed}", end="  ", flush=True)
        process = server.Process(target=execute, args=(job,), daemon=False)
        process.start()
        try:
            process.join()
        except KeyboardInterrupt:
            process.kill()
            jobs = jobs[: number - 1]
            print("interrupted", flush=True)
            break
        row = read_row(job)
        if row is None:
            row = missing_row(job, f"process ended with exit code {process.exitcode}")
            write_json(job.folder / ROW_FILE, row)
        seconds = (row["seconds_render"] or 0) + (row["seconds_method"] or 0)
        loss = math.nan if row["final_loss"] is None else row["final_loss"]
        print(
            f"loss {loss:.4g}  {row['stop_reason']} after {row['renders']} renders, {seconds:.1f} s",
            flush=True,
        )
    complete = bool(jobs) and number == len(jobs)
    rows = [row for job in jobs if (row := read_row(job))]
    write_csv(out / "rows.csv", rows)
    if rows:
        report.write(rows, [job.folder for job in jobs], out)
    return complete


def execute(job: Job) -> None:
    """In the job's own process: run it; what goes wrong is in its row."""
    from zg.fit import fit

    try:
        fit(job.config, job.folder)
    except Exception as error:
        if read_row(job) is None:
            write_json(job.folder / ROW_FILE, missing_row(job, f"{type(error).__name__}: {error}"))


def read_row(job: Job) -> dict[str, Any] | None:
    """The row of a job under the names of the comparison, if it is there."""
    path = job.folder / ROW_FILE
    return json.loads(path.read_text()) | {"task": job.task, "method": job.method} if path.is_file() else None


def missing_row(job: Job, error: str) -> dict[str, Any]:
    """The row of a run that could not write its own."""
    job.folder.mkdir(parents=True, exist_ok=True)
    blank = ("final_loss", "init_loss", "best_loss", "seconds_render", "seconds_method", "peak_mb")
    known = {"task": job.task, "method": job.method, "seed": job.seed, "renders": 0}
    told = {"machine": machine(), "revision": revision(), "stop_reason": "error", "error": error}
    return known | dict.fromkeys(blank) | told


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows as one table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
