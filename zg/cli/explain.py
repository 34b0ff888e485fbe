"""`zg explain`: why a run did not move, and how sure each parameter is, from what its folder recorded."""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import torch

from zg.cli.options import OptionParser
from zg.cli.output import say
from zg.config.build import instantiate, parse
from zg.config.compose import compose, read_yaml
from zg.errors import SettingError
from zg.objective import Objective
from zg.run.checkpoint import CHECKPOINT_FILE, KEY, PREVIOUS_FILE, damage
from zg.run.evidence import FEWEST, Evidence, KeepEvidence, probed
from zg.run.explain import explain
from zg.run.files import CONFIG_FILE, ROW_FILE
from zg.run.record import Record


def explain_command(words: list[str]) -> int:
    """Run `zg explain`. words: the words of the command line after `explain`. Returns the exit code."""
    parser = OptionParser(prog="zg explain", description=(__doc__ or "").strip())
    parser.add_argument("folder", type=Path, help="the folder of a run, such as runs/toy-zerograds-0")
    more = "make N renders: the result again, and single parameters changed, the least known first"
    parser.add_argument("--renders", type=int, default=0, help=more)
    options = parser.parse_args(words)
    if options.renders and options.renders < FEWEST:
        raise SettingError(f"renders must be at least {FEWEST}, or left out, got {options.renders}")
    checkpoint = read_checkpoint(options.folder)
    observers = checkpoint["observers"]
    records: list[dict[str, float]] = observers.get(Record.__name__, {}).get("rows", [])
    kept = observers.get(KeepEvidence.__name__)
    evidence = Evidence.from_state(kept["evidence"]) if kept else None
    if evidence is not None and options.renders:
        evidence = with_renders(options.folder, evidence, records, options.renders)
    say(str(explain(evidence, read_row(options.folder, checkpoint[KEY], records), records)))
    return 0


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest whole checkpoint of a run. Raises SettingError for a folder without one; changes no file."""
    paths = [folder / name for name in (CHECKPOINT_FILE, PREVIOUS_FILE)]
    path = next((path for path in paths if path.is_file() and not damage(path)), None)
    if path is None:
        raise SettingError(f"explain needs the folder of a run with a complete {CHECKPOINT_FILE}, got '{folder}'")
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def read_row(folder: Path, loop: dict[str, Any], records: list[dict[str, float]]) -> dict[str, Any]:
    """The row of the run; for a run that goes on or was killed, what its checkpoint says in its place."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        row: dict[str, Any] = json.loads((folder / ROW_FILE).read_text())
        return row
    ledger, losses = loop["ledger"], [row["loss"] for row in records if "loss" in row]
    return {
        "method": loop["identity"]["method"].rpartition(".")[2],
        "renders": ledger["renders"],
        "failed_renders": ledger["failed"],
        "error": ledger["last_error"],
        "stop_reason": "it has not ended",
        "init_loss": losses[0] if losses else math.nan,
        "final_loss": losses[-1] if losses else math.nan,
    }


def with_renders(folder: Path, evidence: Evidence, records: list[dict[str, float]], count: int) -> Evidence:
    """The evidence with `count` more renders of the task that the config in the folder describes."""
    config = compose(read_yaml(folder / CONFIG_FILE))
    if "class_path" not in config.get("data", {}):
        raise SettingError(f"renders needs a task in {folder / CONFIG_FILE}: a run of zg.optimize has none there")
    parsed = parse(config)
    task = instantiate("data", parsed["data"])
    with contextlib.closing(task):
        task.seed = parsed.get("seed", 0)
        task.setup()
        return probed(evidence, Objective(task, count, task.seed), records, count)
