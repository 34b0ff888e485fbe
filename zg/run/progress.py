"""The progress of a run: one line on standard error."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from zg.loop import Loop
from zg.run.observer import Observer
from zg.run.terminal import is_watched
from zg.run.words import duration

#: Least seconds between two updates.
UPDATE_SECONDS = 0.1
#: Part of the time so far, at its end, of which the speed is: that of a run changes.
RECENT = 0.5
#: Number of times and renders that are kept for the speed.
KEPT = 64
#: Size of the terminal where it does not say how large it is.
COLUMNS, ROWS = 100, 20
FORMAT = "{n_fmt}/{total_fmt} renders |{bar}| {desc}"


class Line(tqdm):  # type: ignore[misc]
    """tqdm's line, without its thread and its lock of processes: nothing is left behind."""

    monitor_interval = 0


Line.set_lock(threading.RLock())


def width() -> dict[str, Any]:
    """The settings of tqdm for the width of the line: that of the terminal, or one that suits most."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # a notebook
        columns = 0
    return {"dynamic_ncols": True} if columns else {"ncols": COLUMNS, "nrows": ROWS}


class Pace:
    """How long the rest of a run takes: as long a render as in the last half of its time."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def note(self, seconds: float, renders: int) -> None:
        """Enter the number of counted renders, and the seconds since the start."""
        self._seen.append((seconds, renders))
        if len(self._seen) > KEPT:
            del self._seen[1:-1:2]

    def left(self, loop: Loop) -> float:
        """Seconds until the budget of renders or of seconds is spent."""
        now, renders = self._seen[-1]
        since, before = max((one for one in self._seen if one[0] <= RECENT * now), default=self._seen[0])
        if renders == before:
            since, before = self._seen[0]
        seconds = (now - since) / max(1, renders - before) * loop.ledger.left
        if (most := loop.budget.max_seconds) is not None:
            seconds = min(seconds, max(0.0, most - loop.ledger.seconds_render - loop.seconds_method))
        return seconds


class ShowProgress(Observer):
    """A line with a bar of renders, the losses, the remaining time and the failed renders.

    say: where nobody looks at standard error (`is_watched`), it gets a line at each tenth of the budget; None for none.
    """

    def __init__(self, say: Callable[[str], None] | None = print) -> None:
        self.say = say
        self._line: Line | None = None

    def begin(self, total: int) -> None:
        """Show the line, before anything is imported or built that takes long."""
        if is_watched():
            self._line = Line(total=total, file=sys.stderr, bar_format=FORMAT, desc="starting", **width())

    def started(self, loop: Loop) -> None:
        self._total = loop.budget.max_renders
        self._due = 0.0
        self._said = loop.renders
        self._started, self._pace = time.monotonic(), Pace()
        self._pace.note(0.0, loop.renders)
        if self._line is not None:
            self._line.n = loop.renders
            self._line.refresh()

    def iterated(self, loop: Loop) -> None:
        now = time.monotonic()
        if now >= self._due or loop.ledger.exhausted:
            self._due = now + UPDATE_SECONDS
            self._update(loop)

    def _update(self, loop: Loop) -> None:
        self._pace.note(time.monotonic() - self._started, loop.renders)
        self._tell(loop, f"{duration(self._pace.left(loop))} left")

    def _tell(self, loop: Loop, ending: str) -> None:
        ledger = loop.ledger
        failed = f"  {ledger.failed} failed" if ledger.failed else ""
        said = f"batch loss {ledger.last_loss:.3g}  best {ledger.best_loss:.3g}{failed}  {ending}"
        if self._line is not None:
            self._line.n = ledger.renders
            self._line.set_description_str(said)  # and draws it
        elif self.say and (ledger.renders - self._said >= self._total / 10 or ledger.exhausted):
            self._said = ledger.renders
            self.say(f"{ledger.renders}/{self._total} renders  {said}")

    def ended(self, loop: Loop) -> None:
        # The bar stays where it is: a run that converged or was interrupted has not used its budget.
        if self._line is not None:
            self._tell(loop, f"stopped: {loop.stop_reason()}")

    def closed(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
