"""What `zg paper` does: measurements, the expected time, the missing runs, and everything that is made from rows."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from baselines.compare.compare import HANG_SECONDS, compare, is_complete, missing_row
from baselines.compare.grid import Job, label_of
from baselines.compare.rows import ROW_FILE, Row, write_csv
from paper import claims, figures, formats, report, rows, tables, wandb_report
from paper.cost import cost_probes, seconds_a_render
from paper.pace import pace_of, pace_probes
from paper.plan import (
    Part,
    Planner,
    Preset,
    Variant,
    budget_of,
    compose_run,
    methods_of,
    read_preset,
    size_of,
    smaller_tasks,
    tasks_of,
)
from paper.probes import run_probes, task_probe
from paper.rows import PRESET_FILE
from paper.variance import variance_probes
from zg.config.compose import Config, class_name
from zg.errors import SettingError, nearest
from zg.run.files import write_json
from zg.run.record import CURVE_POINTS, schedule
from zg.run.tracking import wandb_mode
from zg.run.words import duration

# Seconds without a sign of life, beyond its own time, after which a measurement is ended.
PATIENCE = 120.0
# Seconds of a render, for the days that are said before anything is measured.
A_RENDER = 0.01
# Seconds of a measurement besides its own time, and of the server that starts them: estimates, not measured.
PROBE, SERVER = 1.5, 8.0
# Seconds until the process of a run starts to render, and of tables, figures and report after the last one: estimates.
START, FIGURES = 0.5, 30.0
# The renders by which a task is measured.
MEASURED_RENDERS = 8


def make_paper(options: argparse.Namespace) -> int:
    """Run `zg paper` with these options."""
    refuse_strange_folder(options.out)
    complete, mode = run_missing(options) if options.preset else (True, "disabled")
    if options.estimate:
        return 0
    material = rows.read(options.out)
    if not material.everything and not material.cost and not material.variance:
        raise SettingError(f"out must hold rows, or --preset must say which to make, got '{options.out}'")
    title = title_of(options)
    write(title, material, options.out)
    if options.keep:
        rows.write(material, options.keep)
        write(title, material, options.keep)
    if complete:
        wandb_report.summarise(options.out, mode)
    print(options.out / "report.html")
    return 0 if complete else 130


def title_of(options: argparse.Namespace) -> str:
    """The title of the report, with the preset that the folder was made with, or else with the folder's name."""
    path = options.out / PRESET_FILE
    preset = options.preset or (json.loads(path.read_text())["preset"] if path.is_file() else "")
    return "ZeroGrads, the paper's experiments: " + (f"preset {preset}" if preset else options.out.resolve().name)


def refuse_strange_folder(out: Path) -> None:
    """Raise SettingError for a folder that holds anything but a paper."""
    known = {*rows.PARTS, "probes", PRESET_FILE}
    if out.exists() and (
        not out.is_dir() or (any(out.iterdir()) and not known & {path.name for path in out.iterdir()})
    ):
        raise SettingError(f"out must be a new folder or one that zg paper made, got '{out}'")


def refuse_other_preset(path: Path, name: str) -> None:
    """Raise SettingError for the folder of another preset, whose rows would stand in the same tables."""
    if path.is_file() and (there := json.loads(path.read_text())["preset"]) != name:
        raise SettingError(f"out must be a folder of its own for each preset, and '{path.parent}' is of '{there}'")


def run_missing(options: argparse.Namespace) -> tuple[bool, str]:
    """Measure tasks and methods, print the expected time, and run what is missing.

    Returns whether all runs have ended, and the mode of W&B.
    """
    mode = wandb_mode(options.wandb)
    preset = read_preset(options.preset)
    refuse_other_preset(options.out / PRESET_FILE, options.preset)
    if options.seeds:
        runs = {task: {**own, "seeds": options.seeds} for task, own in preset.runs.items()}
        preset = replace(preset, seeds=options.seeds, runs=runs)
    preset = replace(preset, others=True) if options.plugins else preset
    tasks = options.tasks.split(",") if options.tasks else tasks_of(preset)
    also = [] if options.tasks else smaller_tasks(preset)
    asked = options.methods.split(",") if options.methods else None if preset.methods == "all" else preset.methods
    methods = chosen(asked, methods_of(others=preset.others or asked is not None))
    say_size(preset, tasks, methods, options.parts)
    options.out.mkdir(parents=True, exist_ok=True)
    measured, cost = measure(preset, list(dict.fromkeys([*tasks, *also])), methods, mode != "disabled", options)
    sizes = {row["task"]: row["n"] for row in measured if not row["error"]}
    parts = Planner(preset, options.out, sizes, tasks, methods, also).parts(options.parts)
    refuse(parts, options.jobs)
    jobs = [job for part in parts for job in part.jobs]
    missing = [job for job in jobs if not is_complete(job, options.retry)]
    probes = pace_probes(missing, options.out) if preset.budget.get("paced") else []
    pace = run_probes(probes, options.jobs, PATIENCE, "measuring runs")
    ahead = {job: estimate(job, measured, cost, pace) / options.jobs for job in missing}
    if preset.budget.get("paced"):
        say_hours(ahead)
    expected = sum(ahead.values()) + FIGURES
    print(f"{len(jobs)} runs, {len(missing)} of them missing: about {duration(expected)}", flush=True)
    if options.estimate:
        return False, mode
    write_json(
        options.out / PRESET_FILE,
        {"preset": options.preset, "estimated_seconds": expected, "runs": len(jobs)},
    )
    return compare(jobs, options.out, options.place, HANG_SECONDS, options.retry, mode), mode


def measure(
    preset: Preset, tasks: Sequence[str], methods: dict[str, Variant], tracked: bool, options: argparse.Namespace
) -> tuple[list[Row], list[Row]]:
    """Run the probes. Returns the rows of the tasks and of the methods; those of the gradients stay in their files."""
    costs = cost_probes(methods, preset, options.out) if "table4" in options.parts else []
    most = (len(costs) * (PROBE + preset.cost["seconds"]) + len(tasks) * PROBE) / options.jobs + SERVER
    print(f"{len(tasks)} tasks, {len(methods)} methods: they are measured first, in about {duration(most)}", flush=True)
    probes = [task_probe(task, first_run(task, preset), tracked, options.out) for task in tasks]
    measured = run_probes(probes, options.jobs, PATIENCE, "measuring tasks")
    for row in measured:
        if row["error"]:
            print(f"{row['task']} cannot run here: {row['error']}", flush=True)
    cost = run_probes(costs, options.jobs, PATIENCE + 4 * preset.cost["seconds"], "measuring methods")
    still = [task for task in preset.variance["tasks"] if not options.tasks or task in tasks]
    still = still if "variance" in options.parts else []
    run_probes(variance_probes(preset, still, options.out), options.jobs, PATIENCE, "measuring gradients")
    return measured, cost


def say_size(preset: Preset, tasks: Sequence[str], methods: Mapping[str, Variant], parts: Sequence[str]) -> None:
    """Print the number of runs and renders, before anything is measured: how long a render takes is not known yet."""
    runs, renders = size_of(preset, tasks, methods, parts)
    days = renders * A_RENDER / 86400
    said = f"about {runs:,} runs and {renders:.2g} renders"
    print(f"{said}: {days:,.1f} days where a render takes {1000 * A_RENDER:g} ms", flush=True)


def say_hours(ahead: Mapping[Job, float]) -> None:
    """Print for each task and method the number of its missing runs, their renders and their hours."""
    lines: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for job, seconds in ahead.items():
        key = job.task, job.method, job.settings
        lines.setdefault(key, []).append((job.config["max_renders"], seconds))
    for (task, method, settings), runs in lines.items():
        hours = sum(seconds for _, seconds in runs) / 3600
        print(f"{hours:7.2f} h  {task}, {method} ({settings}): {len(runs)} × {runs[0][0]:,} renders", flush=True)


def chosen(asked: Sequence[str] | None, there: dict[str, Variant]) -> dict[str, Variant]:
    """The methods that are asked for, among all methods; by default all of them."""
    if asked is None:
        return there
    for name in asked:
        if name not in there and not name.endswith((".yaml", ".yml")):
            raise SettingError(f"methods '{name}' is unknown{nearest(name, there)}")
    return {label_of(name): there.get(name, Variant(name)) for name in asked}


def first_run(task: str, preset: Preset) -> Config:
    """The config of the short run that measures a task: a few renders by a method that takes no time of its own."""
    limits = budget_of(task, preset) | {"max_renders": MEASURED_RENDERS, "curve_points": 2}
    return compose_run(task, Variant("random_search", put={"batch": 4}), 0, limits, "default")[0]


def refuse(parts: Sequence[Part], side_by_side: int) -> None:
    """Write the rows of the runs that cannot run, with the reason."""
    for part in parts:
        for job, reason in part.refused:
            if not is_complete(job, False):
                job.folder.mkdir(parents=True, exist_ok=True)
                write_json(job.folder / ROW_FILE, missing_row(job, reason, 0, side_by_side))


def estimate(job: Job, measured: Sequence[Row], cost: Sequence[Row], pace: Sequence[Row] = ()) -> float:
    """The expected seconds of a run: as it was timed; else renders, the method at that n, the curve, and the rest.

    A run that goes on from its checkpoint is expected as a whole one.
    """
    task = next((row for row in measured if row["task"] == job.task), None)
    if task is None or task["error"]:
        return 1.0
    known = {row["method"] for row in cost}
    base = job.method if job.method in known else class_name("method", job.config["model"])
    renders = job.config["max_renders"]
    if (own := pace_of(job, pace)) is None:
        own = task["seconds_render"] + seconds_a_render(cost, base, task["n"])
    seconds = renders * own
    points = len(schedule(renders, job.config.get("curve_points", CURVE_POINTS), log=True))
    curve = points * task["seconds_render"]  # these renders are not counted
    return min(seconds, job.config.get("max_seconds") or seconds) + curve + task["seconds_beside"] + START


def write(title: str, material: rows.Material, out: Path) -> None:
    """Write everything that is made from rows: rows.csv of each part, tables, figures, claims and report."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for part, runs in material.parts.items():
        if (material.folder / part / "runs").is_dir():
            (out / part).mkdir(exist_ok=True)
            write_csv(out / part / rows.ROWS, (run.row for run in runs))
    made = tables.all_tables(material)
    for table in made:
        (out / "tables" / f"{table.name}.tex").write_text(formats.latex(table), encoding="utf-8")
        (out / "tables" / f"{table.name}.md").write_text(formats.markdown(table), encoding="utf-8")
        write_csv(out / "tables" / f"{table.name}.csv", formats.rows(table))
    drawn = figures.write(material, out / "figures")
    kept = figures.kept(material, out / "figures", drawn)
    verdicts = claims.judge(material)
    write_csv(out / "claims.csv", [vars(verdict) for verdict in verdicts])
    (out / "report.html").write_text(report.html(title, material, made, drawn, kept, verdicts), encoding="utf-8")
