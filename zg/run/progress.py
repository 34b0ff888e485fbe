"""The progress of a run on the terminal."""

import math
import sys
import time
from collections.abc import Callable

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from zg.loop import Loop
from zg.run.observer import Observer

#: Least seconds between two updates.
UPDATE_SECONDS = 0.1


class ShowProgress(Observer):
    """A progress bar of renders with the losses and the remaining time.

    Without a terminal, `say` gets a line at each tenth of the budget.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.say = say
        self._bar: Progress | None = None

    def started(self, loop: Loop) -> None:
        self._total = loop.budget.max_renders
        self._due = 0.0
        self._said = self._first = loop.renders
        self._started = time.monotonic()
        if sys.stdout.isatty():
            self._bar = Progress(
                TextColumn("{task.completed}/{task.total} renders"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("batch loss {task.fields[loss]:.3g}  best {task.fields[best]:.3g}"),
                TimeRemainingColumn(),
            )
            self._line = self._bar.add_task("", total=self._total, loss=math.nan, best=math.nan)
            self._bar.start()

    def iterated(self, loop: Loop) -> None:
        ledger = loop.ledger
        now = time.monotonic()
        if now < self._due and not ledger.exhausted:
            return
        self._due = now + UPDATE_SECONDS
        loss, best = ledger.last_loss, ledger.best_loss
        if self._bar:
            self._bar.update(self._line, completed=ledger.renders, loss=loss, best=best)
        elif ledger.renders - self._said >= self._total / 10 or ledger.exhausted:
            self._said = ledger.renders
            seconds_per_render = (now - self._started) / max(1, ledger.renders - self._first)
            left = seconds_per_render * ledger.left
            self.say(
                f"{ledger.renders}/{self._total} renders  batch loss {loss:.3g}  best {best:.3g}  {left:.0f} s left"
            )

    def ended(self, loop: Loop) -> None:
        if self._bar:
            self._bar.update(self._line, completed=loop.renders, total=loop.renders)

    def closed(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
