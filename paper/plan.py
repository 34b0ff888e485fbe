"""The rows that the paper needs: presets × the tasks and methods that exist × seeds.

A new task or method needs no change here: the tasks are the YAMLs in `configs` and the tasks that other packages
register, the methods are all registered methods. A preset says which variants of a task to leave out, which share of
its own budget each task gets, and how large the smaller experiments are.
"""

import importlib
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from baselines.compare.grid import (
    PUBLISHED,
    Job,
    Settings,
    choose_settings,
    key_of,
    label_of,
    model_of,
    without,
)
from baselines.compare.names import OURS, OURS_PUBLISHED
from baselines.compare.options import TUNED
from paper.names import LOW_DIMENSION, PAGE_METHODS
from zg.budget import Budget
from zg.config.compose import Config, class_name, compose, read_yaml, task_config
from zg.config.registry import configured, plugins, registered
from zg.errors import SettingError, check_whole, nearest
from zg.memory import RUN_BYTES, check_memory
from zg.run.provenance import config_hash

# The folder of the variants, `ablations` and `extra`.
HERE = Path(__file__).resolve().parent
# The presets, by name.
PRESETS = HERE / "presets"
# {word: names that a method may have for this setting}; the first name that a method has is the setting to multiply.
SENSITIVE = {"sigma": ("sigma", "c"), "step": ("lr", "lr_theta", "lr_mean", "step")}
# Bytes in a gigabyte.
GB = 1e9


@dataclass(frozen=True)
class Preset:
    """The size of every experiment. The YAMLs in `paper/presets` are examples.

    tasks: `all` or a list. leave_out: tasks that `all` does not include. others: whether tasks and methods that other
    packages register are included. budget: `share` of the task's own renders (or of the published number, with
    `published`), from `least` to `most`, and `seconds` at most; `checkpoint_seconds` between two checkpoints; `paced`,
    whether each run is timed beforehand, for an expected time that long runs need. runs: {task: its own `seeds`,
    `renders` and `methods`}. methods: of Tables 1 and 2, `all` or a list. ablations: its `renders`, {task: renders},
    have no limit of time. A part without tasks (frames: without points) is not made.
    """

    tasks: Any
    budget: Config
    seeds: int
    memory_gb: float
    ablations: Config
    sensitivity: Config
    variance: Config
    cost: Config
    frames: Config
    about: str = ""
    leave_out: Sequence[str] = ()
    others: bool = False
    runs: Mapping[str, Config] = field(default_factory=dict)
    methods: Any = "all"
    trainer: Config = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """A method with some settings of its own.

    of: the method's name. put: settings with new values. times: settings that are multiplied, by this number.
    least_n, most_n: the dimensions where the variant makes sense. why: the reason for most_n. matrices: the number of
    n × n matrices of doubles that it holds.
    """

    of: str
    about: str = ""
    put: Config = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    least_n: int = 0
    most_n: int | None = None
    why: str = ""
    matrices: int = 0

    def refusal(self, n: int, memory_gb: float) -> str:
        """The reason why it cannot run with n parameters; empty if it can."""
        if self.most_n is not None and n > self.most_n:
            return f"cannot run: {self.why}"
        needed = 8 * self.matrices * n**2 / GB
        if needed > memory_gb:
            return f"cannot run: {self.matrices} matrices of {n:,} × {n:,} need {needed:.3g} GB of {memory_gb:g}"
        return ""


@dataclass(frozen=True)
class Part:
    """A named part of the paper: its jobs, and the jobs that cannot run, each with the reason."""

    name: str
    jobs: list[Job]
    refused: list[tuple[Job, str]]


def read_preset(name: str) -> Preset:
    """A preset by name or path."""
    known = {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}
    if name not in known and not name.endswith((".yaml", ".yml")):
        raise SettingError(f"preset '{name}' is unknown{nearest(name, known)}")
    content = read_yaml(known.get(name, Path(name)))
    right = {one.name for one in fields(Preset)}
    for key in content:
        if key not in right:
            raise SettingError(f"preset '{name}': {key} is unknown{nearest(key, right)}")
    try:
        preset = Preset(**content)
    except TypeError as error:
        raise SettingError(f"preset '{name}' lacks {str(error).partition(': ')[2]}") from None
    check_whole(seeds=preset.seeds)
    check_memory(RUN_BYTES * preset.seeds, seeds=preset.seeds)
    return preset


def read_variants(folder: str) -> dict[str, Variant]:
    """{stem: variant} of the YAMLs in a folder beside this file."""
    found = {}
    for path in sorted((HERE / folder).glob("*.yaml")):
        content = read_yaml(path)
        found[path.stem] = Variant(**({"put": content.pop("set", {})} | content))
    return found


def tasks_of(preset: Preset) -> list[str]:
    """The tasks of a preset: all that exist, without those that it leaves out, or the tasks that it lists."""
    stems = configured("task")
    others = [name for name in registered("task") if name in plugins("task")] if preset.others else []
    if preset.tasks == "all":
        return [name for name in stems if name not in preset.leave_out] + others
    return [*preset.tasks, *others]


def smaller_tasks(preset: Preset) -> list[str]:
    """The tasks of ablations and sensitivity."""
    return list(dict.fromkeys([*preset.ablations["tasks"], *preset.sensitivity["tasks"]]))


def methods_of(extra: bool = True, others: bool = False) -> dict[str, Variant]:
    """Every method of this package. others: of other packages, too. extra: the variants in `paper/extra`, too."""
    found = {name: Variant(name) for name in registered("method") if others or name not in plugins("method")}
    return found | (read_variants("extra") if extra else {})


def budget_of(task: str, preset: Preset) -> Config:
    """The limits of every run of a task: a share of its own renders, or of the published number of renders."""
    layer = task_config(task)
    rule = preset.budget
    renders = layer.get("max_renders", Budget.max_renders)
    if rule.get("published"):
        for name in (label_of(task), class_name("task", compose(layer)["data"])):
            if (path := PUBLISHED / f"{name}.yaml").is_file():
                renders = read_yaml(path)["max_renders"]
                break
    if "renders" in (own := preset.runs.get(label_of(task), {})):
        return {"max_renders": int(own["renders"])}
    renders = max(rule.get("least", 1), min(rule.get("most", renders), round(renders * rule["share"])))
    seconds = {"max_seconds": float(rule["seconds"])} if "seconds" in rule else {}
    return {"max_renders": int(renders)} | seconds


def is_tuned(task: str) -> bool:
    """Whether every method of the project page is tuned on a task. Only such tasks are in the tuned tables."""
    return {*PAGE_METHODS} <= {path.stem for path in (TUNED / label_of(task)).glob("*.yaml")}


def size_of(
    preset: Preset, tasks: Sequence[str], methods: Mapping[str, Variant], parts: Collection[str]
) -> tuple[int, float]:
    """The runs and the renders of a preset at most, from its budgets alone: n of the tasks is not known."""
    runs, renders = 0, 0.0

    def add(task: str, count: int, each: float | None = None) -> None:
        nonlocal runs, renders
        runs += count
        renders += count * (budget_of(task, preset)["max_renders"] if each is None else each)

    for suffix in ("", "-tuned"):
        if {*parts} & {f"table1{suffix}", f"table2{suffix}"}:
            for task in tasks if not suffix else filter(is_tuned, tasks):
                own = preset.runs.get(label_of(task), {})
                add(task, min(preset.seeds, own.get("seeds", preset.seeds)) * len(own.get("methods", methods)))
    if "table3" in parts:
        for task in preset.ablations["tasks"]:
            count = (2 + len(read_variants("ablations"))) * preset.ablations["seeds"]
            add(task, count, preset.ablations.get("renders", {}).get(task))
    if "sensitivity" in parts:
        asked = preset.sensitivity
        for task in asked["tasks"]:
            add(task, len(asked["methods"]) * len(SENSITIVE) * len(asked["factors"]) * asked["seeds"])
    return runs, renders


def compose_run(task: str, variant: Variant, seed: int, limits: Config, settings: Settings) -> tuple[Config, str]:
    """The whole config of a run, and where the settings of its method come from."""
    layer = without(task_config(task), "model")
    layers, origin = choose_settings(label_of(task), variant.of, layer, model_of(variant.of), settings)
    config = compose(*layers, {"video": False}, layer, limits, {"seed": seed})
    put = dict(variant.put)
    for name, factor in variant.times.items():
        put[name] = float(f"{factor * setting_of(config['model'] | {'put': put}, name):.4g}")
    return compose(config, {"model": {"init_args": put}}), origin


def setting_of(component: Config, name: str) -> float:
    """The value of a method's setting, given or by default. Raises SettingError where it is no number."""
    given = component["init_args"] | component.get("put", {})
    value = given.get(name, signature(component["class_path"]).get(name))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{component['class_path']}.{name} must be a number to be multiplied, got {value!r}")
    return float(value)


def key_for(config: Config) -> str:
    """The key of a run. While its renderer cannot be imported the key is another one, so that it runs again later."""
    try:
        return key_of(config)
    except ImportError as error:
        return config_hash([config, str(error)])


def signature(class_path: str) -> dict[str, Any]:
    """{setting: default} of a class."""
    module, _, name = class_path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name).__init__).parameters
    return {key: parameter.default for key, parameter in parameters.items() if key != "self"}


@dataclass(frozen=True)
class Planner:
    """Makes the parts. sizes: {task: n} of the tasks that could be measured.

    tasks: the tasks of Tables 1 and 2. also: further tasks of the smaller parts.
    """

    preset: Preset
    out: Path
    sizes: Mapping[str, int]
    tasks: Sequence[str]
    methods: Mapping[str, Variant]
    also: Sequence[str] = ()

    def parts(self, wanted: Collection[str]) -> list[Part]:
        """The parts that are wanted (`paper.run.PARTS`), the tables' rows first."""
        preset = self.preset
        seeds = range(preset.seeds)
        found = []
        if tasks := self.of_tables("", wanted):
            found.append(self.part("published", tasks, self.methods, seeds, "paper"))
        if tuned := list(filter(is_tuned, self.of_tables("-tuned", wanted))):
            found.append(self.part("tuned", tuned, self.methods, seeds, "tuned"))
        if "table3" in wanted:
            found.append(self.ablations())
        if "sensitivity" in wanted:
            found.append(self.sensitivity())
        if "frames" in wanted:
            found.append(self.frames())
        return found

    def of_tables(self, suffix: str, wanted: Collection[str]) -> list[str]:
        """The tasks of Table 1, of Table 2, or of both."""
        names = {True: f"table1{suffix}", False: f"table2{suffix}"}
        return [task for task in self.tasks if names[self.sizes.get(label_of(task), 0) <= LOW_DIMENSION] in wanted]

    def there(self, tasks: Sequence[str]) -> list[str]:
        """The given tasks that are part of this paper."""
        return [task for task in tasks if task in self.tasks or task in self.also]

    def part(
        self,
        name: str,
        tasks: Sequence[str],
        methods: Mapping[str, Variant],
        seeds: Sequence[int],
        settings: Settings,
        more: Config | None = None,
    ) -> Part:
        """The runs tasks × seeds × methods, in the folder of the part. more: further limits and settings of a run."""
        part = Part(name, [], [])
        more = (more or {}) | ({"trainer": self.preset.trainer} if self.preset.trainer else {})
        more |= {name: value for name, value in self.preset.budget.items() if name == "checkpoint_seconds"}
        for path in tasks:
            task = label_of(path)
            n = self.sizes.get(task, 0)
            own = self.preset.runs.get(task, {})
            chosen = own.get("methods", methods)
            suited = {label: of for label, of in methods.items() if n >= of.least_n and label in chosen}
            limits = budget_of(path, self.preset) | more
            for seed in seeds[: own.get("seeds")]:
                for label, variant in suited.items():
                    config, origin = compose_run(path, variant, seed, limits, settings)
                    folder = self.out / name / "runs" / task / label / f"seed{seed}"
                    group = f"{self.out.name}-{name}"
                    job = Job(task, label, seed, config, folder, origin, key_for(config), group)
                    if reason := variant.refusal(n, self.preset.memory_gb):
                        part.refused.append((job, reason))
                    else:
                        part.jobs.append(job)
        return part

    def ablations(self) -> Part:
        """Both forms of ZeroGrads and their variants. The preset may give a task more renders, and time without end."""
        asked = self.preset.ablations
        variants = {name: Variant(name) for name in (OURS_PUBLISHED, OURS)} | read_variants("ablations")
        parts = [
            self.part(
                "ablations",
                [task],
                variants,
                range(asked["seeds"]),
                "paper",
                {"max_renders": asked["renders"][task], "max_seconds": None}
                if task in asked.get("renders", {})
                else None,
            )
            for task in self.there(asked["tasks"])
        ]
        jobs, refused = ([item for part in parts for item in getattr(part, kind)] for kind in ("jobs", "refused"))
        return Part("ablations", jobs, refused)

    def sensitivity(self) -> Part:
        """σ and step of some methods, multiplied by some factors. The label says which: `es~sigma~0.3`."""
        asked = self.preset.sensitivity
        variants = {}
        for method in asked["methods"]:
            own = signature(registered("method")[method])
            for word, names in SENSITIVE.items():
                name = next((name for name in names if name in own), None)
                for factor in asked["factors"] if name else []:
                    variants[f"{method}~{word}~{factor:g}"] = Variant(method, times={str(name): factor})
        return self.part("sensitivity", self.there(asked["tasks"]), variants, range(asked["seeds"]), "paper")

    def frames(self) -> Part:
        """The toy with pictures along the run, by both forms of ZeroGrads."""
        if not self.preset.frames["points"] or not self.there(["toy"]):
            return Part("frames", [], [])
        both = {name: Variant(name) for name in (OURS_PUBLISHED, OURS)}
        pictured = {"video": True, "curve_points": self.preset.frames["points"]}
        return self.part("frames", ["toy"], both, range(1), "paper", pictured)
