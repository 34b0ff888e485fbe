"""`zg fit` with a config of a training: a network that is trained through renders."""

from pathlib import Path
from typing import Any

import yaml

from zg.budget import StopReason
from zg.cli.output import say
from zg.config.build import instantiate, parse, resolved
from zg.config.compose import Config, class_name, compose, read_yaml
from zg.errors import SettingError, nearest
from zg.run.files import CONFIG_FILE, free_folder
from zg.run.row import Row

# Settings of a run that a training has; exit code of a command that a signal has ended, without its number.
SPENT = ("max_renders", "checkpoint_renders", "checkpoint_seconds")
KNOWN = ("training", "trainer", "about", "seed", *SPENT, "curve_points", "video", "wandb", "group", "tensorboard")
SIGNALLED = 128


def is_training(layers: list[Config], options: dict[str, str]) -> bool:
    """Whether a config, or the run to go on with, is that of a training."""
    path = Path(options.get("out", "")) / CONFIG_FILE
    former = [read_yaml(path)] if "resume" in options and "out" in options and path.is_file() else []
    return any("training" in layer for layer in [*former, *layers])


def train_command(layers: list[Config], options: dict[str, str]) -> int:
    """Train, print the metrics, and return the exit code."""
    folder = Path(options["out"]) if "out" in options else None
    resume = "resume" in options
    if resume and folder is None:
        raise SettingError("resume needs --out, the folder of the run to continue")
    former = read_yaml(folder / CONFIG_FILE) if resume and folder else {}
    config = compose(former, *layers)
    if resume and any(config.get(key) != former.get(key) for key in ("training", "seed", "max_renders")):
        raise SettingError(f"resume must keep training, seed and max_renders as they are in {folder}")
    for key in config:
        if key not in KNOWN:
            raise SettingError(f"{key} is no setting of a training{nearest(key, KNOWN)}")
    from zg.run.training import Training, train  # imports Lightning

    parsed = parse(config, {"training": Training})
    full = resolved(config, parsed)
    if "print_config" in options:
        print(yaml.safe_dump(full, sort_keys=False, allow_unicode=True), end="")
        return 0
    folder = (folder or free_folder(f"{class_name('training', config['training']).rpartition('.')[2]}")).absolute()
    settings: dict[str, Any] = {key: value for key, value in parsed.items() if key not in ("training", "about")}
    training = instantiate("training", parsed["training"])
    row = train(training, folder, config=full, resume=resume, say=say, **{"wandb": "auto", **settings})
    report(row, folder)
    return 0 if training.signal is None else SIGNALLED + training.signal


def report(row: Row, folder: Path) -> None:
    """Say the metrics and the files of a training."""
    say(f"\n{row['task']} by {row['method']}: stopped after {row['renders']} renders: {row['stop_reason']}")
    for name, value in row.items():
        if name.startswith("metric_"):
            say(f"{name.removeprefix('metric_'):18} {value:.4g}")
    for name in ("panel.png", "video.mp4", "video.gif", "history.csv", "row.json"):
        if (folder / name).is_file():
            say(f"        {folder / name}")
    if row["stop_reason"] == StopReason.INTERRUPTED:
        say(f"to continue: zg fit --out {folder} --resume")
