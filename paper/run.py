"""`zg paper`: measure, say how long it will take, run what is missing, write tables, figures, verdicts and report."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from baselines.compare.compare import HANG_SECONDS, compare, is_there, missing_row
from baselines.compare.display import duration
from baselines.compare.grid import Job, label_of
from baselines.compare.rows import ROW_FILE, write_csv
from paper import claims, figures, formats, report, rows, tables, tracking
from paper.cost import cost_probes, seconds_a_render
from paper.plan import (
    Part,
    Planner,
    Preset,
    Variant,
    budget_of,
    compose_run,
    methods_of,
    read_preset,
    smaller_tasks,
    tasks_of,
)
from paper.probes import Row, run_probes, task_probe
from paper.variance import variance_probes
from zg.config.compose import class_name
from zg.errors import SettingError, check_positive, nearest
from zg.run.records import write_json

SETTINGS = ("published", "tuned")
PRESET_FILE = "preset.json"
# A probe that is silent for so long beyond its own limit is ended.
PATIENCE = 120.0
MEASURED_RENDERS = 8


def paper_command(words: list[str]) -> int:
    """Run `zg paper` with these words of the command line."""
    parser = argparse.ArgumentParser(prog="zg paper", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", help="smoke, cpu or full, or a YAML like those under paper/presets")
    parser.add_argument("--out", required=True, type=Path, help="folder for everything; the same again goes on")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; times are to be compared with 1 only")
    parser.add_argument("--settings", default="published,tuned", help="published, tuned or both (default)")
    parser.add_argument("--tasks", help="only these, separated by commas; by default what the preset says")
    parser.add_argument("--methods", help="only these in Tables 1 and 2; by default every one that is registered")
    parser.add_argument("--seeds", type=int, help="so many instead of the preset's")
    parser.add_argument("--estimate", action="store_true", help="measure, print the time ahead, and stop")
    parser.add_argument("--retry", action="store_true", help="run again what ended in an error")
    parser.add_argument("--wandb", default="offline", help="offline (default), online, auto or disabled")
    parser.add_argument("--keep", type=Path, help="also keep rows, curves and what is made of them in this folder")
    options = parser.parse_args(words)
    check_positive(jobs=options.jobs)
    settings = options.settings.split(",")
    for name in settings:
        if name not in SETTINGS:
            raise SettingError(f"settings must be published, tuned or both, got '{name}'{nearest(name, SETTINGS)}")
    refuse_strange_folder(options.out)
    complete, mode = make(options, settings) if options.preset else (True, "disabled")
    if options.estimate:
        return 0
    material = rows.read(options.out)
    if not material.everything:
        raise SettingError(f"out must hold rows, or --preset say which to make, got '{options.out}'")
    title = f"{options.preset} preset" if options.preset else options.out.resolve().name
    write(title, material, options.out)
    if options.keep:
        rows.write(material, options.keep)
        write(title, material, options.keep)
    if complete:
        tracking.summarise(options.out, mode)
    print(options.out / "report.html")
    return 0 if complete else 130


def refuse_strange_folder(out: Path) -> None:
    """Raise SettingError for a folder that holds something else."""
    known = {*rows.PARTS, "probes", PRESET_FILE}
    if out.exists() and (
        not out.is_dir() or (any(out.iterdir()) and not known & {path.name for path in out.iterdir()})
    ):
        raise SettingError(f"out must be a new folder or one that zg paper made, got '{out}'")


def refuse_other_preset(path: Path, name: str) -> None:
    """Raise SettingError for a folder of another preset, whose rows would stand in the same tables."""
    if path.is_file() and (there := json.loads(path.read_text())["preset"]) != name:
        raise SettingError(f"out must be a folder of its own for each preset, and '{path.parent}' is of '{there}'")


def make(options: argparse.Namespace, settings: Sequence[str]) -> tuple[bool, str]:
    """Measure what there is, print the time ahead, and run what is missing; whether it came to its end, W&B's mode."""
    from zg.run.tracking import wandb_mode

    mode = wandb_mode(options.wandb)
    preset = read_preset(options.preset)
    refuse_other_preset(options.out / PRESET_FILE, options.preset)
    if options.seeds:
        preset = replace(preset, seeds=options.seeds)
    tasks = options.tasks.split(",") if options.tasks else tasks_of(preset)
    also = [] if options.tasks else smaller_tasks(preset)
    methods = chosen(options.methods, methods_of())
    options.out.mkdir(parents=True, exist_ok=True)
    measured, cost = measure(preset, list(dict.fromkeys([*tasks, *also])), methods, mode != "disabled", options)
    sizes = {row["task"]: row["n"] for row in measured if not row["error"]}
    parts = Planner(preset, options.out, sizes, tasks, methods, also).parts(settings)
    refuse(parts, options.jobs)
    jobs = [job for part in parts for job in part.jobs]
    missing = [job for job in jobs if not is_there(job, options.retry)]
    ahead = sum(estimate(job, measured, cost) for job in missing) / options.jobs
    print(f"{len(jobs)} runs, {len(missing)} of them missing: about {duration(ahead)}", flush=True)
    if options.estimate:
        return False, mode
    write_json(options.out / PRESET_FILE, {"preset": options.preset, "estimated_seconds": ahead, "runs": len(jobs)})
    return compare(jobs, options.out, options.jobs, HANG_SECONDS, options.retry, mode), mode


def measure(
    preset: Preset, tasks: Sequence[str], methods: dict[str, Variant], tracked: bool, options: argparse.Namespace
) -> tuple[list[Row], list[Row]]:
    """The probes: tasks and methods, whose rows are returned, and how gradients vary."""
    costs = cost_probes(methods, preset, options.out)
    most = len(costs) * preset.cost["seconds"] / options.jobs
    print(f"{len(tasks)} tasks, {len(methods)} methods: they are measured first, about {duration(most)}", flush=True)
    probes = [task_probe(task, first_run(task, preset), tracked, options.out) for task in tasks]
    measured = run_probes(probes, options.jobs, PATIENCE, "measuring tasks")
    for row in measured:
        if row["error"]:
            print(f"{row['task']} cannot run here: {row['error']}", flush=True)
    cost = run_probes(costs, options.jobs, PATIENCE + 4 * preset.cost["seconds"], "measuring methods")
    still = [task for task in preset.variance["tasks"] if not options.tasks or task in tasks]
    run_probes(variance_probes(preset, still, options.out), options.jobs, PATIENCE, "measuring gradients")
    return measured, cost


def chosen(asked: str | None, there: dict[str, Variant]) -> dict[str, Variant]:
    """The methods that are asked for among those that there are; all by default."""
    if asked is None:
        return there
    for name in asked.split(","):
        if name not in there and not name.endswith((".yaml", ".yml")):
            raise SettingError(f"methods '{name}' is unknown{nearest(name, there)}")
    return {label_of(name): there.get(name, Variant(name)) for name in asked.split(",")}


def first_run(task: str, preset: Preset) -> dict:
    """The short run that a task is measured by: a few renders by the method that costs nothing."""
    limits = budget_of(task, preset) | {"max_renders": MEASURED_RENDERS, "curve_points": 2}
    return compose_run(task, Variant("random_search", put={"batch": 4}), 0, limits, "default")[0]


def refuse(parts: Sequence[Part], side_by_side: int) -> None:
    """Write the rows of what cannot run, with the reason."""
    for part in parts:
        for job, reason in part.refused:
            if not is_there(job, False):
                job.folder.mkdir(parents=True, exist_ok=True)
                write_json(job.folder / ROW_FILE, missing_row(job, reason, 0, side_by_side))


def estimate(job: Job, measured: Sequence[Row], cost: Sequence[Row]) -> float:
    """Seconds that a run will take: renders, the method at that n, and what every run takes beside."""
    task = next((row for row in measured if row["task"] == job.task), None)
    if task is None or task["error"]:
        return 1.0
    known = {row["method"] for row in cost}
    base = job.method if job.method in known else class_name("method", job.config["model"])
    renders = job.config["max_renders"]
    seconds = renders * (task["seconds_render"] + seconds_a_render(cost, base, task["n"]))
    return min(seconds, job.config.get("max_seconds", seconds)) + task["seconds_beside"]


def write(title: str, material: rows.Material, out: Path) -> None:
    """Everything that is made from rows: rows.csv of each part, tables, figures, claims and report."""
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
    kept = figures.kept(out / "figures", drawn)
    verdicts = claims.judge(material)
    write_csv(out / "claims.csv", [vars(verdict) for verdict in verdicts])
    (out / "report.html").write_text(report.html(title, material, made, drawn, kept, verdicts), encoding="utf-8")
