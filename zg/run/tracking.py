"""Weights & Biases. Its mode is decided before it starts, so that a run never asks for a key, hangs or fails."""

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

#: `auto` is online if there is a key and the server answers, else offline.
MODES = ("auto", "online", "offline", "disabled")
#: Most seconds to wait for a connection to the server.
PROBE_SECONDS = 2.0
#: Most seconds to wait for the start of a run of W&B.
START_SECONDS = 10.0
#: The file in the run folder that holds the id of the run in W&B.
ID_FILE = "wandb-id"
# The values of WANDB_DATA_DIR that were set here, to tell them from a value of the user. W&B has no argument for it.
_data_dirs = [""]


def wandb_mode(wanted: str = "auto") -> str:
    """The mode of W&B: `online`, `offline` or `disabled`.

    It is WANDB_MODE if set, else `wanted`. `auto` and `online` become `offline` without a key or without an answer of
    the server. Raises SettingError for an unknown mode.
    """
    said = os.environ.get("WANDB_MODE", "").lower().replace("dryrun", "offline")  # an older name in W&B
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
    """A logger that writes below `folder`; None if disabled. A resumed run goes on with the same run of W&B."""
    if mode == "disabled":
        return None
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    if os.environ.get("WANDB_DATA_DIR") in (None, _data_dirs[-1]):  # keep a value of the user
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
        except wandb.Error as error:  # the key is refused, or the server does not answer
            print(f"W&B is offline: {' '.join(str(error).split())}")
            wandb.teardown()  # otherwise the id of the failed run stays in use
    return start(quiet, "offline")


class Writer:
    """A logger that calls `add_scalar(tag, value, step)` of a writer, such as TensorBoard's SummaryWriter."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write one scalar for each metric."""
        for tag, value in metrics.items():
            self.writer.add_scalar(tag, value, step)


def track_run(folder: Path, mode: str, group: str | None, seed: int, labels: Labels) -> "Logger | None":
    """The W&B logger of a run, with tags, config, seed and revision; None if W&B is disabled."""
    tags = [labels.task, labels.method, f"seed {seed}", revision() or "no revision"]
    logger = wandb_logger(folder, mode, f"{labels.task}-{labels.method}-{seed}", group, tags)
    if logger is not None:
        logger.log_hyperparams({**labels.config, "seed": seed, "revision": revision()})
    return logger


def log_pictures(loggers: Sequence[Any], folder: Path, row: Row) -> None:
    """Log the panel, the curve, the video and the row to W&B, and end the run of W&B."""
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
    """Whether there is a key for this host, in WANDB_API_KEY or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _reachable(host: str, port: int) -> bool:
    """Whether the server accepts a connection within 2 s. It uses a thread: the look-up of a name has no time-out."""
    answered = threading.Event()

    def probe() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
            answered.set()

    prober = threading.Thread(target=probe, daemon=True)
    prober.start()
    prober.join(PROBE_SECONDS)
    return answered.is_set()
