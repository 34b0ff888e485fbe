"""Reads what a run of W&B has written offline: records of its own protocol buffers in the log format of LevelDB.

Blocks of 32 KiB; a chunk is checksum (4 bytes), length (2), kind (1: whole, 2: first, 3: middle, 4: last) and data. The
first block begins with 7 bytes of W&B.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEAD = 2**15, 7


def records(path: Path) -> Iterator[Record]:
    """The records of a file `*.wandb`."""
    content, place, parts = path.read_bytes(), HEAD, []
    while place + HEAD <= len(content):
        if BLOCK - place % BLOCK < HEAD:  # the rest of a block is too short for a chunk
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts.append(content[place + HEAD : place + HEAD + length])
        place += HEAD + length
        if kind in (1, 4):
            yield Record.FromString(b"".join(parts))
            parts = []


class Written:
    """What the runs of W&B below a folder have written, in the order of their start.

    runs: their first records. rows: of the history. config, summary: their last values. axes: {metric: its x axis}.
    exit_codes: of those that have ended.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: list[Any] = []
        self.rows: list[dict[str, Any]] = []
        self.steps: list[int] = []
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.axes: dict[str, str] = {}
        self.exit_codes: list[int] = []
        for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
            for record in records(path):
                self._take(record)

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.runs.append(record.run)
            self.config |= values(record.run.config.update)
        elif kind == "config":
            self.config |= values(record.config.update)
        elif kind == "summary":
            self.summary |= values(record.summary.update)
        elif kind == "history":
            self.rows.append(values(record.history.item))
            self.steps.append(record.history.step.num)
        elif kind == "metric":
            self.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "exit":
            self.exit_codes.append(record.exit.exit_code)


def values(items: Any) -> dict[str, Any]:
    """{key: value} of the items of a record."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
