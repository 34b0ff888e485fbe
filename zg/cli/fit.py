"""`zg fit`: one run, from config files and settings of the command line."""

import re
import time
from pathlib import Path
from typing import Any

import yaml

from zg.budget import Budget
from zg.cli.fit_help import FLAGS, fit_help
from zg.cli.output import say
from zg.cli.train import is_training, train_command
from zg.config.build import BASES, instantiate, parse, resolved
from zg.config.compose import KINDS, Config, assign, class_name, compose, locate, read_yaml
from zg.config.registry import configured, registered
from zg.errors import RunError, SettingError, in_words
from zg.extras import missing_package
from zg.run.files import CONFIG_FILE, ERROR_FILE, free_folder
from zg.run.result import Result
from zg.run.run import run
from zg.run.words import loss_in_words, params_in_words

#: Most lines of parameters.
PARAMETER_LINES = 6
#: Said of a run whose method nobody has chosen, where there is a picture. `zg.optimize` chooses the other one.
UNCHOSEN = (
    "method  zerograds, the default of zg fit: it is told losses alone, as the methods of zg compare are. "
    "zg.optimize takes zerograds-image,\n        which sees the picture and often needs fewer renders: "
    "--model zerograds-image"
)
#: Exit code of a command that a signal has ended, without the number of the signal.
SIGNALLED = 128
#: Programs that run a script, whose name says more than theirs.
INTERPRETERS = re.compile(r"(python|pypy|bash|sh|perl|ruby|node|julia|Rscript|blender)[\d.]*$")


def fit_command(words: list[str]) -> int:
    """Run `zg fit`. words: the words of the command line after `fit`. Returns the exit code."""
    if {"-h", "--help"} & set(words):
        layers, _ = parse_words([word for word in words if word not in ("-h", "--help")])
        say(fit_help(compose(*layers)))
        return 0
    layers, options = parse_words(words)
    if is_training(layers, options):
        return train_command(layers, options)
    folder = Path(options["out"]) if "out" in options else None
    resume = "resume" in options
    if resume:
        if folder is None:
            raise SettingError("resume needs --out, the folder of the run to continue")
        former = read_yaml(folder / CONFIG_FILE)
        config = compose(former, *layers)
        if any(config.get(key, 0) != former.get(key, 0) for key in (*BASES, "seed")):
            raise SettingError(f"resume must keep task, method and seed as they are in {folder / CONFIG_FILE}")
    else:
        config = compose({"model": "zerograds"}, *layers)
    if "class_path" not in config.get("data", {}):
        raise SettingError("data must name a task, as in --config configs/toy.yaml or --data toy")
    if "print_config" in options:
        print(yaml.safe_dump(resolved(config, parse(config)), sort_keys=False, allow_unicode=True), end="")
        return 0
    start = time.monotonic()
    result = fit_in_folder(config, (folder or next_folder(config)).absolute(), resume)
    report(result, time.monotonic() - start)
    is_chosen = resume or any("model" in layer for layer in layers)
    if not is_chosen and result.images and result.images.reference is not None and result.image.numel() > 1:
        say(UNCHOSEN)
    return 0 if result.signal is None else SIGNALLED + result.signal


def fit_in_folder(config: Config, folder: Path, resume: bool) -> Result:
    """`fit` for the command line. Raises RunError for an exception that left its traceback in the folder."""
    try:
        return fit(config, folder, resume=resume, say=say)
    except SettingError:
        raise
    except Exception as error:
        path = folder / ERROR_FILE
        if missing_package(error) or not path.is_file():
            raise
        raise RunError(f"the run failed with {in_words(error)}; the traceback is in {path}") from error


def fit(config: Config, folder: Path | None, **options: Any) -> Result:
    """Make the task and the method of a composed config, and run them. options: of `zg.run.run.run`."""
    parsed = parse(config)
    settings = {key: value for key, value in parsed.items() if key not in ("data", "model", "trainer", "about")}
    budget = {key: settings.pop(key) for key in list(settings) if key in Budget.__dataclass_fields__}
    task, method = (instantiate(key, parsed[key]) for key in BASES)
    return run(
        task,
        method,
        Budget(**budget),
        config=resolved(config, parsed),
        folder=folder,
        trainer=parsed.get("trainer"),
        **{"wandb": "auto", **settings, **options},
    )


def parse_words(words: list[str]) -> tuple[list[Config], dict[str, str]]:
    """Words of the command line -> config layers, and the options {name: value} that are in no config.

    Order of the layers: files, then choices of a task or method by name, then all other settings.
    """
    # Own code, for argparse needs to know every option: which ones there are depends on the task and method that other
    # options choose, and jsonargparse would import Lightning's Trainer to tell, also for a word that is misspelt.
    files: list[Config] = []
    choices: list[Config] = []
    settings: list[Config] = []
    options: dict[str, str] = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") and word != "-c":
            raise SettingError(f"a setting must be given as --NAME VALUE, got '{word}'")
        name = "config" if word == "-c" else word.removeprefix("--")
        key = name.replace("-", "_")
        if key in FLAGS:
            options[key] = ""
            continue
        if not rest:
            raise SettingError(f"--{name} needs a value")
        value = rest.pop(0)
        if key == "config":
            files.append(read_yaml(locate(value)))
        elif key == "out":
            options[key] = value
        else:
            (choices if key in KINDS else settings).append(choose(key, value) if key in KINDS else assign(key, value))
    return [*files, *choices, *settings], options


def choose(key: str, name: str) -> Config:
    """The config of `--data NAME` or `--model NAME`; read from the YAML file of this name, if there is one."""
    value, kind = assign(key, name), KINDS[key]
    if isinstance(value[key], dict) and not name.lstrip().startswith("{"):
        value = {key: name}  # `nevergrad:`, which YAML takes for a key without a value
    chosen = value[key]
    if not isinstance(chosen, str) or chosen in registered(kind) or chosen not in configured(kind):
        return value
    return read_yaml(configured(kind)[chosen])


def next_folder(config: Config) -> Path:
    """The folder runs/TASK-METHOD-seedS-N in the working directory, with the next free number N.

    A task that runs a program is called as the program is.
    """
    names = [class_name(kind, config[key]).rpartition(".")[2] for kind, key in (("task", "data"), ("method", "model"))]
    names[0] = program(config["data"].get("init_args", {}).get("argv")) or names[0]
    return free_folder("-".join([*names, f"seed{config.get('seed', 0)}"]))


def program(argv: Any) -> str:
    """The name of the program or script that a command runs, without its suffix; empty for anything else."""
    words = [word for word in argv if isinstance(word, str)] if isinstance(argv, list) else []
    if not words:
        return ""
    name = Path(words[0]).name
    scripts = [word for word in words[1:] if Path(word).suffix and "{" not in word and not word.startswith("-")]
    is_interpreter = INTERPRETERS.match(name) is not None
    return re.sub(r"[^\w.-]", "_", Path(scripts[0] if is_interpreter and scripts else name).stem)


def report(result: Result, seconds: float) -> None:
    """Say the result and the files of a run. seconds: duration of the whole run."""
    row = result.row
    say(f"\n{row['task']} by {row['method']}: stopped after {result.renders} renders: {result.stop_reason}")
    say(f"params  {params_in_words(result.params, PARAMETER_LINES, indent=8)}")
    say(f"loss    {loss_in_words(row, result.loss)} (of the start, of the params; both rendered again)")
    if (error := row.get("metric_theta_error")) is not None:
        say(f"error   {error:.4g} (distance of the params to the known solution, in scaled units)")
    times = f"{row['seconds_render']:.1f} s rendering, {row['seconds_method']:.1f} s method, {seconds:.1f} s in total"
    say(f"time    {times}")
    if failed := row["failed_renders"]:
        say(f"failed  {failed} renders, the first with {result.first_error or 'a value that is not finite'}")
    if result.folder:
        for name in ("video.mp4", "video.gif", "film.mp4", "panel.png", "curve.png", "history.csv", "row.json"):
            if (result.folder / name).is_file():
                say(f"        {result.folder / name}")
        if result.stop_reason == "interrupted":
            say(f"to continue: zg fit --out {result.folder} --resume")
