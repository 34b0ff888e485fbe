"""Weights & Biases. Its mode is decided before it starts, so that a run never asks for a key, hangs or fails."""

import contextlib
import netrc
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from zg.errors import SettingError
from zg.run.files import decoration
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
# Most characters of a tag, and of the name and the group of a run. W&B refuses longer ones.
LONGEST_TAG, LONGEST_NAME = 64, 128
# Modes that W&B itself also knows, by other names.
OTHER_NAMES = {"dryrun": "offline", "run": "online", "shared": "online"}


def wandb_mode(wanted: str = "auto") -> str:
    """The mode of W&B: `online`, `offline` or `disabled`.

    It is WANDB_MODE if set, else `wanted`. `auto` and `online` become `offline` without a key or without an answer of
    the server. Raises SettingError for an unknown mode.
    """
    said = os.environ.get("WANDB_MODE", "").lower()
    said = OTHER_NAMES.get(said, said)
    for setting, mode in (("wandb", wanted), ("WANDB_MODE", said or "auto")):
        if mode not in MODES:
            raise SettingError(f"{setting} must be one of {', '.join(MODES)}, got '{mode}'")
    wanted = said or wanted
    if wanted in ("offline", "disabled"):
        return wanted
    trouble = _trouble(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    if trouble and wanted == "online":
        print(f"W&B is offline: {trouble}")
    return "offline" if trouble else "online"


def _trouble(address: str) -> str:
    """Why W&B cannot be online with the server at this address; empty if it can."""
    try:
        url = urlparse(address)
        host, port = url.hostname, url.port or (80 if url.scheme == "http" else 443)
    except ValueError:
        host, port = None, 0
    if not host:
        return f"WANDB_BASE_URL must be an address such as https://api.wandb.ai, got '{address}'"
    if not _has_key(host):
        return "there is no key"
    return "" if _reachable(host, port) else f"{host} does not answer"


@contextlib.contextmanager
def wandb_logger(
    folder: Path, mode: str, name: str, group: str | None, tags: Sequence[str]
) -> Iterator["Logger | None"]:
    """A logger that writes below `folder`, for the block; None if W&B is disabled or does not start.

    A resumed run goes on with the same run of W&B. What W&B refuses, such as an odd value in one of its environment
    variables, becomes a warning: the run goes on without it. After the block, the run of W&B has ended, and the
    environment is as before.
    """
    logger = None
    if mode != "disabled":
        with contextlib.ExitStack() as started, decoration("the start of Weights & Biases"):
            started.enter_context(_environment(folder, mode))
            logger = _start(folder, mode, name, group, tags)
            started.push(lambda kind, *_: _finish(logger, failed=kind is not None))
            ending = started.pop_all()
    if logger is None:
        yield None
        return
    with ending:
        yield logger


def _start(folder: Path, mode: str, name: str, group: str | None, tags: Sequence[str]) -> "Logger":
    """Start or resume the run of W&B that belongs to a folder; online if the mode is, and if the server agrees."""
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    known = folder / ID_FILE
    if not known.is_file():
        known.write_text(secrets.token_hex(4))

    def start(mode: Literal["online", "offline"]) -> "Logger":
        os.environ["WANDB_MODE"] = mode
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "zerograds",
            name=name[-LONGEST_NAME:],
            group=group and group[-LONGEST_NAME:],
            tags=[tag[-LONGEST_TAG:] for tag in tags],  # the end of a class path tells more than its beginning
            dir=folder,
            mode=mode,
            id=known.read_text().strip(),
            resume="allow",
            reinit="create_new",  # a run of W&B that the caller has open stays as it is
            settings=wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS),
        )
        return WandbLogger(experiment=run)

    if mode == "online":
        try:
            return start("online")
        except (wandb.Error, ValueError) as error:  # the key is refused or malformed, or the server does not answer
            print(f"W&B is offline: {' '.join(str(error).split())}")
            wandb.teardown()  # otherwise the id of the failed run stays in use
    return start("offline")


def _finish(logger: Any, failed: bool) -> None:
    with decoration("the end of the run in Weights & Biases"):
        logger.experiment.finish(exit_code=int(failed))


@contextlib.contextmanager
def _environment(folder: Path, mode: str) -> Iterator[None]:
    """The environment variables that W&B needs, for the block. A value of the user is kept where W&B takes it.

    W&B has no arguments for the folders of its data and its cache, which are below the home by default, and it refuses
    the words for a mode that only `wandb_mode` knows.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    os.environ.setdefault("WANDB_DATA_DIR", str(folder.resolve() / "wandb"))
    os.environ.setdefault("WANDB_CACHE_DIR", str(folder.resolve() / "wandb" / "cache"))
    os.environ["WANDB_MODE"] = mode
    try:
        yield
    finally:
        import wandb

        if "WANDB_SERVICE" not in before and wandb.run is None:  # W&B's process and thread were started here
            with decoration("the end of Weights & Biases"):
                wandb.teardown()
        for name in [name for name in os.environ if name.startswith("WANDB_") and name not in before]:
            del os.environ[name]
        os.environ.update(before)


class Writer:
    """A logger that calls `add_scalar(tag, value, step)` of a writer, such as TensorBoard's SummaryWriter."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write one scalar for each metric."""
        for tag, value in metrics.items():
            self.writer.add_scalar(tag, value, step)


@contextlib.contextmanager
def track_run(folder: Path | None, mode: str, group: str | None, seed: int, labels: Labels) -> Iterator[list["Logger"]]:
    """The W&B logger of a run, with tags, config, seed and revision, for the block; none without folder or W&B."""
    if folder is None:
        yield []
        return
    tags = [labels.task, labels.method, f"seed {seed}", revision() or "no revision"]
    with wandb_logger(folder, mode, f"{labels.task}-{labels.method}-{seed}", group, tags) as logger:
        if logger is not None:
            with decoration("the config of the run in Weights & Biases"):
                logger.log_hyperparams({**labels.config, "seed": seed, "revision": revision()})
        yield [] if logger is None else [logger]


def log_pictures(loggers: Sequence[Any], folder: Path, row: Row) -> None:
    """Log the panel, the curve, the map of footprints, the video and the row to W&B."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in loggers:
        if not isinstance(logger, WandbLogger):
            continue
        for name in ("panel", "curve", "footprints"):
            if (folder / f"{name}.png").is_file():
                logger.log_image(name, [str(folder / f"{name}.png")], step=row["renders"])
        if (folder / "video.mp4").is_file():
            logger.log_video("video", [str(folder / "video.mp4")], step=row["renders"], format=["mp4"])
        logger.experiment.summary.update(
            {key: value for key, value in row.items() if isinstance(value, str | int | float)}
        )


def _has_key(host: str) -> bool:
    """Whether there is a key for this host, in WANDB_API_KEY or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        found = netrc.netrc(os.environ.get("NETRC") or os.path.expanduser("~/.netrc"))
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return False
    return found.authenticators(host) is not None


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
