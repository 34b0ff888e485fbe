"""Logs a run against renders, and draws it."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from zg.loop import Loop
from zg.run.history import History
from zg.run.observer import Observer

#: Log-spaced counts of renders at which the recommended θ is rendered once more, for the curve.
CURVE_POINTS = 50
#: Evenly spaced counts at which what costs nothing is logged.
LOG_POINTS = 100
#: Seconds between two deliveries to loggers, which cost more than an iteration of a fast method.
FLUSH_SECONDS = 1.0
#: Every n-th picture goes to W&B, which takes 50 ms for one.
PANEL_EVERY = 10
#: Parameters up to which the path of θ is kept, for pictures.
DRAWN_PATH = 16


class Record(Observer):
    """At about `points` log-spaced counts the recommended θ is rendered once more, with seeds of its own and uncounted:
    this is the run's curve, with its picture and image metrics. At about 100 evenly spaced counts only what costs
    nothing is logged. The method sees none of it. The history is written at once; loggers get their rows together.
    """

    def __init__(
        self, max_renders: int, history: History, folder: Path | None, video: bool = True, points: int = CURVE_POINTS
    ) -> None:
        self.curve_at = schedule(max_renders, points, log=True)
        self.log_at = schedule(max_renders, LOG_POINTS, log=False)
        self.history = history
        #: Anything with `log_metrics(metrics, step)`.
        self.loggers: Sequence[Any] = ()
        self.frames = folder / "frames" if folder and video else None
        self.logged = -1
        self._pending: list[dict[str, float]] = []
        self._flushed = time.monotonic()

    def started(self, loop: Loop) -> None:
        self._flushed = time.monotonic()
        if self.frames:
            self.frames.mkdir(exist_ok=True)
            for stale in self.frames.glob("*.png"):
                if int(stale.stem) > loop.renders or not loop.renders:
                    stale.unlink()
        if loop.renders == 0:
            self.record(loop, measured=bool(self.curve_at))
        self._advance(loop.renders)

    def iterated(self, loop: Loop) -> None:
        renders = loop.renders
        if renders >= self.next_record:
            self.record(loop, measured=renders >= self.next_curve)
            self._advance(renders)

    def ended(self, loop: Loop) -> None:
        if self.logged < loop.renders:
            self.record(loop, measured=bool(self.curve_at))

    def failed(self, loop: Loop) -> None:
        self._flush()

    def closed(self) -> None:
        self._flush()
        self.history.close()

    def state(self) -> dict[str, Any]:
        """A run that was killed after its last row does not log that row again."""
        return {"logged": self.logged}

    def load_state(self, state: dict[str, Any]) -> None:
        self.logged = state["logged"]

    def _advance(self, renders: int) -> None:
        next_log = next((count for count in self.log_at if count > renders), math.inf)
        self.next_curve = next((count for count in self.curve_at if count > renders), math.inf)
        self.next_record = min(next_log, self.next_curve)

    def record(self, loop: Loop, measured: bool) -> None:
        """Log one row; `measured` ones carry the curve's loss and are drawn."""
        ledger = loop.ledger
        row: dict[str, float] = {
            "renders": ledger.renders,
            "seconds_render": ledger.seconds_render,
            "seconds_method": loop.seconds_method,
            "batch_loss": ledger.last_loss,
            "best_loss": ledger.best_loss,
            **loop.method.status(),
        }
        shown = self._measure(loop, row) if measured else None
        self.history.write(row)
        self.logged = ledger.renders
        self._pending.append({key: value for key, value in row.items() if math.isfinite(value)})
        if shown or time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self._flush()
        if shown:
            for logger in self.loggers:
                if hasattr(logger, "log_image"):
                    logger.log_image("panel", [str(shown)], step=ledger.renders)

    def _measure(self, loop: Loop, row: dict[str, float]) -> Path | None:
        """Add the curve's loss and the metrics to a row, and draw a frame; its path if it is for loggers, too."""
        from zg import pictures
        from zg.run.metrics import draw, result_metrics

        objective, theta = loop.objective, loop.method.recommend()
        if objective.space.n <= DRAWN_PATH:
            objective.path.append(objective.space.to_user(theta).cpu())
        loss, image = objective.measure(theta, str(loop.renders))
        row["loss"] = loss
        row |= result_metrics(loop, theta, image)
        picture = draw(loop, theta, image) if self.frames else None
        if picture is None:
            return None
        assert self.frames
        frame = self.frames / f"{loop.renders:09d}.png"
        pictures.write_png(frame, picture)
        return frame if len(list(self.frames.iterdir())) % PANEL_EVERY == 0 else None

    def _flush(self) -> None:
        for row in self._pending:
            for logger in self.loggers:
                logger.log_metrics(row, step=int(row["renders"]))
        self._pending, self._flushed = [], time.monotonic()


def schedule(max_renders: int, points: int, log: bool) -> list[int]:
    """Up to `points` different counts from 1 to `max_renders`, spaced evenly or in the logarithm."""
    steps = torch.linspace(0, 1, points, dtype=torch.float64)
    counts = max_renders**steps if log else 1 + (max_renders - 1) * steps
    return sorted({int(count) for count in counts.round().tolist()})
