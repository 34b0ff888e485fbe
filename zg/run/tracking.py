"""Weights & Biases beside the run folder: its mode is decided before it starts, so it never asks, hangs or fails."""

import contextlib
import netrc
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from zg.errors import SettingError
from zg.run.provenance import revision
from zg.run.row import Labels, Row

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

MODES = ("auto", "online", "offline", "disabled")
PROBE_SECONDS = 2.0
START_SECONDS = 10.0
ID_FILE = "wandb-id"
# Where W&B was told to stage files, run after run: it reads this from the environment alone.
_data_dirs = [""]


def wandb_mode(wanted: str = "auto") -> str:
    """`online`, `offline` or `disabled`: what WANDB_MODE says, else `wanted`, else what key and network allow."""
    said = os.environ.get("WANDB_MODE", "").lower().replace("dryrun", "offline")  # W&B's older word
    for setting, mode in (("wandb", wanted), ("WANDB_MODE", said or "auto")):
        if mode not in MODES:
            raise SettingError(f"{setting} must be one of {', '.join(MODES)}, got '{mode}'")
    wanted = said or wanted
    if wanted in ("offline", "disabled"):
        return wanted
    url = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    trouble = "there is no key" if not _has_key(host) else "" if _reachable(host, port) else f"{host} does not answer"
    if trouble and wanted == "online":
        print(f"W&B is offline: {trouble}")
    return "offline" if trouble else "online"


def wandb_logger(folder: Path, mode: str, name: str, group: str | None, tags: Sequence[str]) -> "Logger | None":
    """A logger that writes below `folder`, and goes on with the same run when the folder is resumed."""
    if mode == "disabled":
        return None
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    if os.environ.get("WANDB_DATA_DIR") in (None, _data_dirs[-1]):  # the user's own setting stays
        _data_dirs.append(str(folder.resolve() / "wandb"))
        os.environ["WANDB_DATA_DIR"] = _data_dirs[-1]
    known = folder / ID_FILE
    if not known.is_file():
        known.write_text(secrets.token_hex(4))

    def start(settings: wandb.Settings, mode: Literal["online", "offline"]) -> "Logger":
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "zerograds"),
            name=name,
            group=group,
            tags=list(tags),
            dir=folder,
            mode=mode,
            id=known.read_text().strip(),
            resume="allow",
            settings=settings,
        )
        return WandbLogger(experiment=run)

    quiet = wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS)
    if mode == "online":
        try:
            return start(quiet, "online")
        except wandb.Error as error:  # a key that is refused, a server that does not answer
            print(f"W&B is offline: {' '.join(str(error).split())}")
            wandb.teardown()  # its service holds on to the id of the run that it could not start
    return start(quiet, "offline")


class Writer:
    """Anything with `add_scalar(tag, value, step)`, such as TensorBoard's SummaryWriter, as a logger of a run."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """One scalar for each metric."""
        for tag, value in metrics.items():
            self.writer.add_scalar(tag, value, step)


def track_run(folder: Path, mode: str, group: str | None, seed: int, labels: Labels) -> "Logger | None":
    """The W&B logger of a run, with what identifies the run; None if W&B is disabled."""
    tags = [labels.task, labels.method, f"seed {seed}", revision() or "no revision"]
    logger = wandb_logger(folder, mode, f"{labels.task}-{labels.method}-{seed}", group, tags)
    if logger is not None:
        logger.log_hyperparams({**labels.config, "seed": seed, "revision": revision()})
    return logger


def log_pictures(loggers: Sequence[Any], folder: Path, row: Row) -> None:
    """Give panel, curve, video and the numbers of the row to W&B, and end its run."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        for name in ("panel", "curve"):
            if (folder / f"{name}.png").is_file():
                logger.log_image(name, [str(folder / f"{name}.png")], step=row["renders"])
        if (folder / "video.mp4").is_file():
            logger.log_video("video", [str(folder / "video.mp4")], step=row["renders"], format=["mp4"])
        logger.experiment.summary.update(
            {key: value for key, value in row.items() if isinstance(value, str | int | float)}
        )
        logger.experiment.finish()


def _has_key(host: str) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _reachable(host: str, port: int) -> bool:
    """Whether somebody answers within two seconds; in a thread, for looking a name up knows no time-out."""
    answered = threading.Event()

    def probe() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
            answered.set()

    prober = threading.Thread(target=probe, daemon=True)
    prober.start()
    prober.join(PROBE_SECONDS)
    return answered.is_set()
