"""`zg compare`: methods × tasks × seeds -> rows, and from them tables, figures and one page.

The same command in the same folder runs what is missing: a run with a row is skipped, and an interrupted run resumes
from its checkpoint. A run whose row has other settings, another budget or other code is run again.
"""

import argparse
import contextlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from baselines.compare import report, wandb_summary
from baselines.compare.cluster import open_runs
from baselines.compare.display import GridDisplay
from baselines.compare.grid import Job, code_of, plan
from baselines.compare.isolation import Beat
from baselines.compare.options import make_folder
from baselines.compare.place import Place
from baselines.compare.rows import ROW_FILE, Row, failed, read_history, read_row
from zg.errors import SettingError, check_positive, in_words
from zg.run.files import write_error, write_json
from zg.run.provenance import config_hash, machine, revision
from zg.run.tracking import wandb_mode

# The checkpoint in a run's folder.
CHECKPOINT = "last.ckpt"
# Seconds without a sign of life after which a run without a time limit is killed.
HANG_SECONDS = 600.0
# The same for a run with a time limit: seconds beyond that limit.
GRACE_SECONDS = 60.0


def compare_command(options: argparse.Namespace) -> int:
    """Run `zg compare` with these options."""
    names = ("max_renders", "max_seconds")
    limits = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    own = HANG_SECONDS if options.max_seconds is None else options.max_seconds + GRACE_SECONDS
    hang = own if options.hang_seconds is None else options.hang_seconds
    check_positive(hang_seconds=hang, **limits)
    refuse_strange_folder(options.out)
    mode = wandb_mode(options.wandb)
    tasks, methods = options.tasks.split(","), options.methods.split(",")
    written = {"tensorboard": True} if options.tensorboard else {}
    jobs = plan(tasks, methods, options.seeds, limits | written, options.out, options.settings, options.tuned)
    complete = compare(jobs, options.out, options.place, hang, options.retry, mode)
    rows = report.write(options.out, options.versus)
    print(f"\n{(options.out / 'summary.md').read_text()}")
    for path in sorted(path for path in options.out.iterdir() if path.is_file()):
        print(path)
    if not complete:
        return 130
    wandb_summary.summarise(options.out, mode)
    keys = {job.key for job in jobs}
    return int(all(failed(row) for row in rows if row["key"] in keys))


def refuse_strange_folder(out: Path) -> None:
    """Raise SettingError for a folder that holds anything but a comparison."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "runs").is_dir())):
        raise SettingError(f"out must be a new folder or that of a comparison to go on with, got '{out}'")
    make_folder("out", out)


def compare(jobs: list[Job], out: Path, place: Place, hang: float, retry: bool, mode: str) -> bool:
    """Run the jobs that have no row; False if interrupted. hang: seconds without a sign of life that end a run."""
    missing = [job for job in jobs if not is_complete(job, retry)]
    print_state(jobs, missing)
    preload = sorted({job.config[key]["class_path"].rpartition(".")[0] for job in missing for key in ("data", "model")})
    waiting = iter(missing)
    with open_runs(place, hang, preload) as pool, GridDisplay(missing, pool.side_by_side) as display:
        try:
            while True:
                while len(pool.running) < pool.side_by_side and (job := next(waiting, None)):
                    prepare(job)
                    log, group = key_file(job).with_suffix(".log"), job.group or out.name
                    pool.start(job, execute, (job, pool.side_by_side, mode, group), log, job.folder)
                    display.start(job)
                if not pool.running:
                    return True
                for ended in pool.poll(0.5):
                    row = ended.row or missing_row(ended.name, ended.error, ended.renders, pool.side_by_side)
                    if ended.row is None:
                        ended.name.folder.mkdir(parents=True, exist_ok=True)
                        write_json(ended.name.folder / ROW_FILE, row)
                    display.end(ended.name, row)
                display.tell(pool.running)
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                list(pool.stop())
            return False


def is_complete(job: Job, retry: bool) -> bool:
    """Whether a job has its row, from a run that was not interrupted. retry: an error does not count as complete."""
    row = read_row(job.folder)
    if row is None or row.get("key") != job.key or row["stop_reason"] == "interrupted":
        return False
    return not (retry and row["stop_reason"] == "error")


def print_state(jobs: list[Job], missing: list[Job]) -> None:
    """Print the number of rows that are complete, and of runs that resume or are run again."""
    if done := len(jobs) - len(missing):
        print(f"{done} of {len(jobs)} rows are complete")
    states = Counter("resume" if can_resume(job) else "again" if job.folder.exists() else "new" for job in missing)
    if states["resume"]:
        print(f"{states['resume']} resume from their checkpoints")
    if states["again"]:
        print(f"{states['again']} run again: their rows have other settings, budget or code, or they did not finish")


def can_resume(job: Job) -> bool:
    """Whether a run was cut off and left a checkpoint to resume from."""
    path = key_file(job)
    row = read_row(job.folder)
    cut_off = row is None or row["stop_reason"] == "interrupted"
    return cut_off and path.is_file() and path.read_text() == job.key and (job.folder / CHECKPOINT).is_file()


def key_file(job: Job) -> Path:
    """The file beside a run's folder that holds the key of the job it was started for."""
    return job.folder.with_name(f"{job.folder.name}.key")


def prepare(job: Job) -> None:
    """Make room for a run, unless it can resume from its checkpoint."""
    if not can_resume(job):
        shutil.rmtree(job.folder, ignore_errors=True)
        key_file(job).parent.mkdir(parents=True, exist_ok=True)
        key_file(job).write_text(job.key)


def execute(job: Job, side_by_side: int, mode: str, group: str, folder: Path, beat: Beat) -> Row:
    """In the run's own process: start it, or resume it from the checkpoint in its folder. An error is in its row."""
    from baselines.compare.heartbeat import Heartbeat
    from zg.cli.fit import fit

    resume = (folder / CHECKPOINT).is_file()
    job = replace(job, folder=folder)
    tracking = {"wandb": mode, "group": group}
    try:
        observers = [Heartbeat(beat)]
        known_as = job.task, job.method
        fit(job.config, job.folder, resume=resume, observers=observers, jobs=side_by_side, names=known_as, **tracking)
        error = ""
    except Exception as exception:
        error = in_words(exception)
        job.folder.mkdir(parents=True, exist_ok=True)
        write_error(job.folder, exception)
    row = missing_row(job, error, 0, side_by_side) | (read_row(job.folder) or {}) | names(job)
    if error:
        row |= {"stop_reason": "error", "error": error}
    elif failed(row):
        row["error"] = row["error"] or "the loss of the start or of the result is not finite"
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / ROW_FILE, row)
    return row


def names(job: Job) -> Row:
    """The names of a run in the comparison, its key and its limits."""
    limits = {name: job.config.get(name) for name in ("max_seconds", "target_loss", "patience")}
    return {"task": job.task, "method": job.method, "settings_from": job.settings, "key": job.key} | limits


def missing_row(job: Job, error: str, renders: int, side_by_side: int) -> Row:
    """The row of a run that could not write its own row: everything that is known without it."""
    import importlib

    own = {key: job.config[key] for key in ("data", "model")}
    module, _, name = own["model"]["class_path"].rpartition(".")
    about = {
        "resolved": "",
        "feedback": getattr(importlib.import_module(module), name).feedback,
        "settings": own["model"]["init_args"],
        "seed": job.seed,
        "config_hash": config_hash(own),
        "code_hash": code_of(job.config),
        "revision": revision(),
        "machine": machine(),
        "threads": None,
        "jobs": side_by_side,
        "max_renders": job.config.get("max_renders"),
        "renders": renders,
        "failed_renders": None,
        "iterations": None,
    }
    blank = ("seconds_render", "seconds_method", "peak_mb", "init_loss", "final_loss", "best_loss", "last_loss")
    known = dict.fromkeys(blank) | last_known(job.folder)
    return names(job) | about | known | {"stop_reason": "error", "error": error}


def last_known(folder: Path) -> Row:
    """The columns of a row that the history of a run tells, for a run that was cut off."""
    history = read_history(folder)
    if not history:
        return {}
    last = {name: history[-1].get(name) for name in ("seconds_render", "seconds_method", "best_loss")}
    return last | {"init_loss": history[0].get("loss")}
