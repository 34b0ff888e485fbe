"""`zg tune`: the best settings of a method on a task, with the same number of trials for every method.

The first trial of a method is its default. The other trials are drawn by Optuna's tree-structured Parzen estimator
(Bergstra et al. 2011) from the ranges that the method declares. The score of a trial is the gain of
`baselines.compare.statistics`, median over seeds that comparisons do not use. The best trials, the finalists, run on
further such seeds, and the best median over all seeds wins. Every trial is written to its table as soon as it has
ended; the same command continues from that table.

Effort is equal: the same number of trials, renders and seeds, and for σ the same range, whatever a method declares.
"""

import argparse
import csv
import importlib
import inspect
import os
import shlex
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from baselines.compare import statistics
from baselines.compare.cluster import ClusterPool, open_runs
from baselines.compare.grid import check, code_of, labelled, model_of, without
from baselines.compare.isolation import Beat, Ended, Pool
from baselines.compare.options import FIRST_SEED, make_folder
from baselines.compare.place import Place
from baselines.compare.rows import Row, failed
from zg.budget import Budget
from zg.config.compose import Config, class_name, compose, task_config
from zg.errors import check_positive
from zg.extras import load_package
from zg.memory import RUN_BYTES, check_memory
from zg.method import Range
from zg.run.files import written_whole
from zg.run.provenance import machine, revision
from zg.seeding import derive_seed

# The lowest score: that of a failed trial, and of a trial whose loss grew by a factor of 1000 or more.
WORST = -3.0
# The number of first trials, the default included, that are drawn at random and not by the estimator.
RANDOM_TRIALS = 8
# Seconds without a sign of life, beyond the time limit of a trial, after which its process is killed.
GRACE_SECONDS = 60.0
# Significant digits of a drawn setting.
DIGITS = 4
# The settings that are a width of sampling, and the range in which it is searched for every method.
WIDTHS, WIDTH = ("sigma", "c", "radius"), Range(0.003, 3.0, log=True)
# The largest number of renders of a trial, unless it is given.
MOST_RENDERS = 5000
# The number of further seeds of a finalist.
FINAL_SEEDS = 2
# The column of a finalist's score.
FINAL = "final_score"


def tune_command(options: argparse.Namespace, words: list[str]) -> int:
    """Run `zg tune` with these options. `words`, the command line, is written into the tuned configs."""
    limits = {"max_seconds": options.max_seconds}
    if options.max_renders is not None:
        limits["max_renders"] = options.max_renders
    check_positive(trials=options.trials, seeds=options.seeds, **limits)
    if options.trials > 1:
        load_package("optuna", "tune")  # told here, before the first trial
    check_memory(RUN_BYTES * options.trials * options.seeds, trials=options.trials, seeds=options.seeds)
    tasks = {
        label: without(task_config(name), "model")
        for label, name in labelled("tasks", options.tasks.split(",")).items()
    }
    methods = {label: model_of(name) for label, name in labelled("methods", options.methods.split(",")).items()}
    command = shlex.join(["zg", "tune", *words])
    studies = []
    for task, task_layer in tasks.items():
        own = task_layer.get("max_renders", Budget.max_renders)
        fifth = {"max_renders": min(MOST_RENDERS, max(1, own // 5))}
        for method, layer in methods.items():
            base = compose(layer, task_layer, fifth, limits)
            check(base)
            paths = Paths(options.out, options.trials_out)
            study = Study(task, method, layer, base, options.seeds, options.trials, paths, command, options.finalists)
            if study.ranges:
                studies.append(study)
            else:
                print(f"{task} · {method}  declares no ranges, so it stays at its defaults")
    make_folder("out", options.out)
    make_folder("trials_out", options.trials_out)
    run_studies(studies, options.place, options.max_seconds + GRACE_SECONDS)
    return 0


class Paths(NamedTuple):
    """Where tuning writes: the folder of the tuned configs, and the folder of the tables of trials."""

    configs: Path
    tables: Path


class Study:
    """The trials of one method on one task: their table, and the config that is written after the last trial.

    layer: the method's config. base: the config of a trial without its settings and seed. command: for the record.
    finalists: the number of the best trials that run on FINAL_SEEDS more seeds.
    """

    def __init__(
        self,
        task: str,
        method: str,
        layer: Config,
        base: Config,
        seeds: int,
        trials: int,
        paths: Paths,
        command: str,
        finalists: int = 0,
    ) -> None:
        self.task, self.method, self.layer, self.base, self.trials = task, method, layer, base, trials
        self.command, self.finalists = command, finalists
        self.seeds = [FIRST_SEED + place for place in range(seeds)]
        module, _, name = base["model"]["class_path"].rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        self.ranges: dict[str, Range] = kind.ranges | {name: WIDTH for name in kind.ranges if name in WIDTHS}
        parameters = inspect.signature(kind.__init__).parameters
        given = base["model"]["init_args"]
        self.defaults = {key: given.get(key, parameters[key].default) for key in self.ranges}
        self.config_path = paths.configs / task / f"{method}.yaml"
        self.table_path = paths.tables / task / f"{method}.csv"
        self.conditions = {
            "max_renders": str(base["max_renders"]),
            "max_seconds": f"{base['max_seconds']:g}",
            "seeds": " ".join(str(seed) for seed in self.seeds),
        }
        self.table = self.read()

    def read(self) -> list[dict[str, str]]:
        """The trials in the table, up to the first trial that would end differently under these conditions."""
        if not self.table_path.is_file():
            return []
        with self.table_path.open(newline="") as file:
            return list(takewhile(self.holds, csv.DictReader(file)))[: self.trials]

    def holds(self, row: dict[str, str]) -> bool:
        """Whether a trial would end the same now: with the same conditions, or a time limit out of reach."""
        if not row.keys() >= {*self.ranges, *self.conditions}:
            return False
        same = [key for key, value in self.conditions.items() if row[key] == value]
        in_time = "time" not in row["stop_reason"] and float(row["seconds"]) < float(self.conditions["max_seconds"])
        return len(same) == len(self.conditions) or (in_time and set(self.conditions) - {*same} == {"max_seconds"})

    @property
    def finished(self) -> bool:
        """Whether all trials are in the table, and the finalists have their score."""
        return len(self.table) >= self.trials and self.next_finalist is None

    @property
    def next_finalist(self) -> dict[str, str] | None:
        """The first finalist without a score; None if there is none, or not all trials are in the table."""
        if len(self.table) < self.trials:
            return None
        best = sorted(self.table, key=lambda row: -float(row["score"]))[: self.finalists]
        return next((row for row in best if not row.get(FINAL)), None)

    def next_runs(self) -> tuple[dict[str, Any], list[Config]]:
        """The settings of the next trial or finalist, and its runs."""
        finalist = self.next_finalist
        if finalist is None:
            settings = self.propose()
            return settings, self.configs(settings)
        settings = {name: self.value(name, finalist[name]) for name in self.ranges}
        return settings, self.configs(settings, [self.seeds[-1] + 1 + place for place in range(FINAL_SEEDS)])

    def propose(self) -> dict[str, Any]:
        """The settings of the next trial, which depend on the trials before it and on nothing else."""
        number = len(self.table)
        if number == 0:
            return dict(self.defaults)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        seed = derive_seed(0, "tune", self.task, self.method, number) % 2**32
        sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        spread = {name: distribution(found) for name, found in self.ranges.items()}
        for row in self.table:
            tried = {name: value for name in spread if (value := self.inside(name, row[name])) is not None}
            study.add_trial(
                optuna.create_trial(
                    params=tried, distributions={name: spread[name] for name in tried}, value=float(row["score"])
                )
            )
        drawn = study.ask(spread).params
        return {
            name: value if self.ranges[name].integer else float(f"{value:.{DIGITS}g}") for name, value in drawn.items()
        }

    def inside(self, name: str, text: str) -> int | float | None:
        """A value from the table; None for a default that is no number of the range."""
        try:
            value = int(text) if self.ranges[name].integer else float(text)
        except ValueError:
            return None
        return value if self.ranges[name].low <= value <= self.ranges[name].high else None

    def configs(self, settings: dict[str, Any], seeds: Sequence[int] | None = None) -> list[Config]:
        """The runs of a trial, one for each seed; by default on the seeds of all trials."""
        layer = {"model": {"init_args": settings}}
        return [compose(self.base, layer, {"seed": seed}) for seed in (self.seeds if seeds is None else seeds)]

    def land(self, settings: dict[str, Any], ended: Ended) -> None:
        """Write a trial or finalist that has ended into the table, and the config after the last one."""
        rows = ended.row["rows"] if ended.row else []
        if (finalist := self.next_finalist) is None:
            self.add(settings, rows, ended.error)
        else:
            first = [float(gain) for gain in finalist.get("gains", finalist["score"]).split()]
            finalist[FINAL] = f"{np.median([*first, *(gains(rows) or [WORST] * FINAL_SEEDS)]):.6g}"
        self.table_path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.table_path) as partial, partial.open("w", newline="") as file:
            columns = dict.fromkeys(name for row in self.table for name in row)
            writer = csv.DictWriter(file, list(columns))
            writer.writeheader()
            writer.writerows(self.table)
        if self.finished:
            self.write_config()

    def add(self, settings: dict[str, Any], rows: Sequence[Row], died: str) -> None:
        """Add a trial to the table. died: how its process ended, where it left no rows."""
        error = next((row["error"] for row in rows if row["error"]), "") or ("" if rows else died)
        losses = [row["final_loss"] for row in rows if not failed(row)]
        self.table.append(
            {"trial": str(len(self.table)), "score": f"{score(rows):.6g}"}
            | {name: "" if value is None else str(value) for name, value in settings.items()}
            | {"final_loss": f"{np.median(losses):.6g}" if losses else ""}
            | {"renders": " ".join(str(row["renders"]) for row in rows)}
            | {"seconds": f"{sum((row['seconds_render'] or 0) + (row['seconds_method'] or 0) for row in rows):.3g}"}
            | {"stop_reason": " ".join(row["stop_reason"] for row in rows), "error": error}
            | {"gains": " ".join(f"{gain:.6g}" for gain in gains(rows)) or f"{WORST:g}", FINAL: ""}
            | self.conditions
        )

    def write_config(self) -> None:
        """Write the tuned config, whole or not at all."""
        self.config_path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.config_path) as partial:
            partial.write_text(self.config_text(), encoding="utf-8")

    @property
    def best(self) -> dict[str, str]:
        """The best finalist, or trial; the first of equals, so that the default stays where no trial is better."""
        if finals := [row for row in self.table if row.get(FINAL)]:
            return max(finals, key=lambda row: float(row[FINAL]))
        return max(self.table, key=lambda row: float(row["score"]))

    def config_text(self) -> str:
        """The tuned config: the settings that differ from the default, below a comment on how they were found."""
        typed = {name: self.value(name, self.best[name]) for name in self.ranges}
        changed = {name: value for name, value in typed.items() if value != self.defaults[name]}
        component = compose(self.layer)["model"]
        model = {"name": class_name("method", component), **component["init_args"], **changed}
        limits = f"{self.conditions['max_renders']} renders and {self.conditions['max_seconds']} s each"
        table = os.path.relpath(self.table_path, self.config_path.parent)
        comment = [
            f"{self.trials} trials, seeds {self.conditions['seeds']}, at most {limits}: {table}",
            f"gain {float(self.best['score']):.4g}, with the defaults {float(self.table[0]['score']):.4g}",
            *([f"median gain with {FINAL_SEEDS} more seeds {final}"] if (final := self.best.get(FINAL)) else []),
            self.command,
            f"revision {revision() or 'none'}, code {code_of(self.base)}, {machine()}",
        ]
        lines = "".join(f"# {line}\n" for line in comment)
        return lines + yaml.safe_dump({"model": model}, sort_keys=False, default_flow_style=None, width=1000)

    def value(self, name: str, text: str) -> Any:
        """A setting of the table with its type."""
        if text == "":
            return None
        return int(text) if self.ranges[name].integer else float(text)


def distribution(found: Range) -> Any:
    """A range as a distribution of Optuna."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if found.integer:
        return IntDistribution(int(found.low), int(found.high), log=found.log)
    return FloatDistribution(found.low, found.high, log=found.log)


def score(rows: Sequence[Row]) -> float:
    """The median gain of a trial's runs; a failed run counts as WORST."""
    return float(np.median(gains(rows))) if rows else WORST


def gains(rows: Sequence[Row]) -> list[float]:
    """The gain of each run, at least WORST, which a failed run has."""
    found = [WORST if failed(row) else statistics.gain(row["init_loss"], row["final_loss"]) for row in rows]
    return [max(gain, WORST) for gain in found]


def run_studies(studies: list[Study], place: Place, silence: float) -> None:
    """Run the missing trials. The trials of a study run one after another: each depends on the trials before it."""
    todo = [study for study in studies if not study.finished]
    for study in studies:
        if study.finished and not study.config_path.is_file():
            study.write_config()
    if len(todo) < len(studies):
        print(f"{len(studies) - len(todo)} of {len(studies)} are complete")
    waiting = list(todo)
    done = len(studies) - len(todo)
    preload = sorted({study.base[key]["class_path"].rpartition(".")[0] for study in todo for key in ("data", "model")})
    with open_runs(place, silence, preload) as pool:
        while waiting or pool.running:
            while waiting and len(pool.running) < pool.side_by_side:
                submit(pool, waiting.pop(0))
            for ended in pool.poll(0.5):
                study, settings = ended.name
                study.land(settings, ended)
                if not study.finished:
                    waiting.insert(0, study)
                    continue
                done += 1
                first, best = float(study.table[0]["score"]), float(study.best["score"])
                print(
                    f"[{done}/{len(studies)}] {study.task} · {study.method}  gain {first:.3g} -> {best:.3g}", flush=True
                )


def submit(pool: Pool | ClusterPool, study: Study) -> None:
    """Start the next trial or finalist of a study."""
    settings, configs = study.next_runs()
    pool.start((study, settings), trial, (configs,))


def trial(configs: list[Config], folder: None, beat: Beat) -> Row:
    """The runs of a trial, in a process of its own and without folders."""
    from baselines.compare.heartbeat import Heartbeat
    from zg.cli.fit import fit

    rows: list[Row] = []
    for config in configs:
        try:
            rows.append(dict(fit(config, None, observers=[Heartbeat(beat)], wandb="disabled").row))
        except Exception as error:
            blank = dict.fromkeys(("final_loss", "init_loss", "seconds_render", "seconds_method"))
            rows.append(blank | {"renders": 0, "stop_reason": "error", "error": f"{type(error).__name__}: {error}"})
    return {"rows": rows}
