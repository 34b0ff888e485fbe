"""Weights & Biases, and TensorBoard.

The mode of W&B is decided before it starts, so that a run never asks for a key, hangs or fails.
"""

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

import numpy as np

from zg.errors import SettingError
from zg.run.board import Board
from zg.run.files import decoration
from zg.run.provenance import revision
from zg.run.row import Labels, Row

if TYPE_CHECKING:
    from zg.run.wandb_run import RendersLogger

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
#: Most parameters that are logged one by one.
MOST_PARAMETERS = 200
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
    folder: Path, mode: str, name: str, group: str | None, tags: Sequence[str], kind: str = "run"
) -> Iterator["RendersLogger | None"]:
    """A logger that writes below `folder`, for the block; None if W&B is disabled or does not start.

    kind: the job type in W&B, `run`, or `summary` of other runs. A resumed run goes on with the same run of W&B. What
    W&B refuses, such as an odd value in one of its environment variables, becomes a warning: the run goes on without
    it. After the block, the run of W&B has ended, and the environment is as before.
    """
    logger = None
    if mode != "disabled":
        with contextlib.ExitStack() as started, decoration("the start of Weights & Biases"):
            started.enter_context(_environment(folder, mode))
            logger = _start(folder, mode, name, group, tags, kind)
            started.push(lambda error, *_: _finish(logger, failed=error is not None))
            ending = started.pop_all()
    if logger is None:
        yield None
        return
    with ending:
        yield logger


def _start(folder: Path, mode: str, name: str, group: str | None, tags: Sequence[str], kind: str) -> "RendersLogger":
    """Start or resume the run of W&B that belongs to a folder; online if the mode is, and if the server agrees."""
    import wandb

    from zg.run.wandb_run import RendersLogger

    known = folder / ID_FILE
    in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))  # then project and id are those that the agent has set

    def start(mode: Literal["online", "offline"]) -> "RendersLogger":
        os.environ["WANDB_MODE"] = mode
        run = wandb.init(
            project=None if in_sweep else os.environ.get("WANDB_PROJECT") or "zerograds",
            name=name[-LONGEST_NAME:],
            group=group and group[-LONGEST_NAME:],
            job_type=kind,
            tags=list(dict.fromkeys(tag[-LONGEST_TAG:] for tag in tags)),  # the end of a class path tells more
            dir=folder,
            mode=mode,
            id=None if in_sweep else known.read_text().strip() if known.is_file() else secrets.token_hex(4),
            resume="allow",
            reinit="create_new",  # a run of W&B that the caller has open stays as it is
            settings=wandb.Settings(silent=True, console="off", init_timeout=START_SECONDS),
        )
        known.write_text(run.id)
        return RendersLogger(run)

    if mode == "online":
        try:
            return start("online")
        except (wandb.Error, ValueError) as error:  # the key is refused or malformed, or the server does not answer
            print(f"W&B is offline: {' '.join(str(error).split())}")
            wandb.teardown()  # otherwise the id of the failed run stays in use
    return start("offline")


def _finish(logger: Any, failed: bool) -> None:
    with decoration("the end of the run in Weights & Biases"):
        logger.finish(failed)


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
def track_run(
    folder: Path | None,
    mode: str,
    group: str | None,
    labels: Labels,
    about: dict[str, Any],
    tensorboard: bool = False,
) -> Iterator[list[Any]]:
    """The loggers of W&B and TensorBoard of a run, for the block; none without folder.

    about: numbers that the runs of a comparison differ by, such as the seed. They stand in W&B's config, with the names
    of task and method, the revision and the composed config, and in TensorBoard's table of runs.
    """
    if folder is None:
        yield []
        return
    config = {**labels.config, "task": labels.task, "method": labels.method, **about, "revision": revision()}
    tags = [labels.task, labels.method, f"seed {about['seed']}", revision() or "no revision"]
    name = f"{labels.task}-{labels.method}-seed{about['seed']}"
    boards = [Board(folder, config)] if tensorboard else []
    with contextlib.ExitStack() as ending, wandb_logger(folder, mode, name, group, tags) as logger:
        for board in boards:
            ending.push(lambda error, *_, board=board: board.finish(error is not None))
        if logger is not None:
            held = logger.experiment.config.keys() if logger.experiment.sweep_id else ()  # a sweep keeps what it sets
            with decoration("the config of the run in Weights & Biases"):
                logger.log_hyperparams({key: value for key, value in config.items() if key not in held})
        yield [*([] if logger is None else [logger]), *boards]


def log_end(loggers: Sequence[Any], folder: Path, row: Row, parameters: Sequence[Sequence[Any]] = ()) -> None:
    """Log the end of a run to W&B and TensorBoard: pictures, parameters [name, start, result], row."""
    from pytorch_lightning.loggers import WandbLogger

    from zg.run import wandb_run

    for logger in loggers:
        with decoration(f"the end of the run in {type(logger).__name__}"):
            if isinstance(logger, Board):
                logger.log_end(folder, row, parameters)
            elif isinstance(logger, WandbLogger):
                wandb_run.log_end(logger, folder, row, parameters)


def log_row(loggers: Sequence[Any], row: Row) -> None:
    """Log the row of a run that has failed to W&B and TensorBoard."""
    from pytorch_lightning.loggers import WandbLogger

    from zg.run import wandb_run

    for logger in loggers:
        with decoration(f"the row of the run in {type(logger).__name__}"):
            if isinstance(logger, Board):
                logger.log_row(row)
            elif isinstance(logger, WandbLogger):
                wandb_run.log_row(logger, row)


def parameter_lines(start: dict[str, Any], result: dict[str, Any]) -> list[list[Any]]:
    """Lines [name, start, result] of parameters by name; none if there are more than 200 numbers.

    >>> parameter_lines({"size": 0.5, "wood": "oak"}, {"size": 0.75, "wood": "ash"})
    [['size', 0.5, 0.75], ['wood', 'oak', 'ash']]
    """
    pairs = [(name, np.asarray(start[name]), np.asarray(value)) for name, value in result.items()]
    if sum(after.size for _, _, after in pairs) > MOST_PARAMETERS:
        return []
    lines = []
    for name, before, after in pairs:
        names = [name] if after.ndim == 0 else [f"{name}[{number}]" for number in range(after.size)]
        lines += [list(line) for line in zip(names, before.ravel().tolist(), after.ravel().tolist(), strict=True)]
    return lines


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
