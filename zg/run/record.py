"""Logs and draws a run, against the number of counted renders."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zg.loop import Loop
from zg.run.files import FOOTPRINTS_FILE, FRAMES, decoration, frames_in
from zg.run.history import History
from zg.run.observer import Observer

#: Number of points of the curve, at log-spaced counts of renders.
CURVE_POINTS = 50
#: Bytes of a row of the history in memory.
ROW_BYTES = 1000
#: Number of records without an additional render, at evenly spaced counts of renders.
LOG_POINTS = 100
#: Least seconds between two calls of the loggers. A call can take longer than an iteration of a fast method.
FLUSH_SECONDS = 1.0
#: Every n-th picture is logged to W&B. Logging a picture takes 50 ms.
PANEL_EVERY = 10
#: Largest number of parameters for which the path of θ is kept, for pictures.
DRAWN_PATH = 16


class Record(Observer):
    """Records the curve of a run and its log.

    The curve: at about `points` log-spaced counts of renders, the recommended θ is rendered with seeds of its own. This
    gives the loss, the metrics and the picture of the record. These renders are not counted, and the method does not
    see them. The log: at about 100 evenly spaced counts, a record of the numbers that need no render.

    The history gets each row at once. The loggers get the rows at most once per second.

    folder, video: with both, the pictures are written to `folder`/frames.
    """

    def __init__(
        self, max_renders: int, history: History, folder: Path | None, video: bool = True, points: int = CURVE_POINTS
    ) -> None:
        self.curve_at = schedule(max_renders, points, log=True)
        self.log_at = schedule(max_renders, LOG_POINTS, log=False)
        self.history = history
        #: Objects with `log_metrics(metrics, step)`.
        self.loggers: Sequence[Any] = ()
        self.frames = folder / FRAMES if folder and video else None
        #: Renders at the last record.
        self.logged = -1
        self._pending: list[dict[str, float]] = []
        self._flushed = time.monotonic()

    def started(self, loop: Loop) -> None:
        self._flushed = time.monotonic()
        if self.frames:
            self.frames.mkdir(exist_ok=True)
            for frame in frames_in(self.frames):  # frames of the interrupted run that are later than its checkpoint
                if int(frame.stem) > loop.renders or not loop.renders:
                    frame.unlink()
        if self.logged < 0:
            self.record(loop, measured=bool(self.curve_at))
        self._advance(loop.renders)

    def iterated(self, loop: Loop) -> None:
        renders = loop.renders
        if renders >= self.next_record:
            self.record(loop, measured=renders >= self.next_curve)
            self._advance(renders)

    def ended(self, loop: Loop) -> None:
        is_measured = bool(self.history.rows) and "loss" in self.history.rows[-1]
        if self.logged < loop.renders or (self.curve_at and not is_measured):  # the curve has its end in any case
            self.record(loop, measured=bool(self.curve_at))

    def failed(self, loop: Loop) -> None:
        self._flush()

    def closed(self) -> None:
        self._flush()
        self.history.close()

    def state(self) -> dict[str, Any]:
        """The rows, and the renders at the last one, so that a resumed run does not log this record again."""
        return {"logged": self.logged, "rows": self.history.rows}

    def load_state(self, state: dict[str, Any]) -> None:
        self.logged = state["logged"]
        self.history.restore(state["rows"])

    def _advance(self, renders: int) -> None:
        next_log = next((count for count in self.log_at if count > renders), math.inf)
        self.next_curve = next((count for count in self.curve_at if count > renders), math.inf)
        self.next_record = min(next_log, self.next_curve)

    def record(self, loop: Loop, measured: bool) -> None:
        """Log one row. measured: it is a point of the curve."""
        ledger = loop.ledger
        row: dict[str, float] = {
            "renders": ledger.renders,
            "seconds_render": ledger.seconds_render,
            "seconds_method": loop.seconds_method,
            "batch_loss": ledger.last_loss,
            "best_loss": ledger.best_loss,
            **loop.method.status(),
        }
        panel = self._measure(loop, row) if measured else None
        self.history.write(row)
        self.logged = ledger.renders
        self._pending.append({key: value for key, value in row.items() if math.isfinite(value)})
        if panel or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush()
        if panel:
            for logger in self.loggers:
                if hasattr(logger, "log_image"):
                    with decoration(f"logging to {type(logger).__name__}"):
                        logger.log_image("panel", [str(panel)], step=ledger.renders)

    def _measure(self, loop: Loop, row: dict[str, float]) -> Path | None:
        """Add the loss and the metrics of the recommended θ to a row, and write its frame.

        Returns the path of the frame if loggers are to log it, else None.
        """
        from zg.run.metrics import draw, result_metrics

        objective, theta = loop.objective, loop.method.recommend()
        if objective.space.n <= DRAWN_PATH:
            objective.path.append(objective.space.to_user(theta).cpu())
        loss, image = objective.measure(theta, str(loop.renders))
        row["loss"] = loss
        row |= result_metrics(loop, theta, image)
        if self.frames is None:
            return None
        from zg import pictures  # imports matplotlib

        write_footprints(self.frames.parent, loop)
        with decoration("a frame of the video"):
            picture = draw(loop, theta, image)
            if picture is not None:
                frame = self.frames / f"{loop.renders:09d}.png"
                pictures.write_png(frame, picture)
                return frame if len(list(self.frames.iterdir())) % PANEL_EVERY == 0 else None
        return None

    def _flush(self) -> None:
        for row in self._pending:
            for logger in self.loggers:
                with decoration(f"logging to {type(logger).__name__}"):
                    logger.log_metrics(row, step=int(row["renders"]))
        self._pending, self._flushed = [], time.monotonic()


def write_footprints(folder: Path, loop: Loop) -> None:
    """Write the map of parameters, if the surrogate has one now. A map of a surrogate that has given way stays."""
    from zg import pictures
    from zg.run.metrics import footprints

    with decoration(FOOTPRINTS_FILE):
        if (picture := footprints(loop)) is not None:
            pictures.write_png(folder / FOOTPRINTS_FILE, pictures.row_of({pictures.MAP: picture}))


def schedule(max_renders: int, points: int, log: bool) -> list[int]:
    """At most `points` distinct counts from 1 to `max_renders`, evenly spaced, or log-spaced if `log`."""
    steps = torch.linspace(0, 1, points, dtype=torch.float64)
    counts = max_renders**steps if log else 1 + (max_renders - 1) * steps
    return sorted({int(count) for count in counts.round().tolist()})
