"""When a run ends, and for which reason."""

from dataclasses import dataclass
from enum import StrEnum
from numbers import Real

from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Ledger

#: The fraction of failed renders is checked once this many renders are counted.
JUDGED_FROM = 20
#: A run ends after REPEATS + REPEATS_PER_PARAMETER n losses in a row that were known without a render.
REPEATS, REPEATS_PER_PARAMETER = 1000, 100
#: The largest budget of renders.
MOST_RENDERS = 10**15
# Seconds of a render that costs nothing, with the method; and of a year.
FASTEST_RENDER, SECONDS_A_YEAR = 1e-6, 365.25 * 24 * 3600


class StopReason(StrEnum):
    """Why a run ended. A method may return a reason of its own (`Method.finished`): CMA-ES returns `cma: tolfun`."""

    #: A counted loss is at or below `target_loss`.
    TARGET = "target"
    #: A counted loss is the lowest one that is possible: 0, for a picture that is compared by a named loss.
    LOWEST = "lowest loss"
    #: `max_renders` are spent.
    BUDGET = "budget"
    #: `max_seconds` are spent.
    TIME = "time"
    #: More than the fraction `max_failed` of the renders failed.
    FAILED_RENDERS = "failed renders"
    #: `patience` renders brought no new lowest loss.
    NO_PROGRESS = "no progress"
    #: The method comes back to x that were rendered before, and asks for no other: all are known, for small spaces.
    NOTHING_NEW = "nothing new"
    #: The method found nothing left to improve.
    CONVERGED = "converged"
    #: The callback returned a true value.
    CALLBACK = "callback"
    #: A signal, such as Ctrl-C, ended the run.
    INTERRUPTED = "interrupted"
    #: An exception ended the run.
    ERROR = "error"


@dataclass(frozen=True)
class Budget:
    """The limits of a run. The run ends when it reaches the first of them; None is no limit.

    max_renders: number of counted renders, met exactly.
    max_seconds: seconds of rendering and of the method together. It is checked between iterations.
    target_loss: the run ends when a counted loss is at or below it.
    patience: number of renders without a new lowest loss.
    max_failed: fraction of failed renders in (0, 1], checked from 20 renders on.
    Raises SettingError for a limit that is out of range.

    >>> import zg
    >>> zg.Budget(max_renders=500, max_seconds=60).max_failed
    0.5
    >>> zg.Budget(max_renders=0)
    Traceback (most recent call last):
    zg.errors.SettingError: max_renders must be > 0, got 0
    """

    max_renders: int = 2000
    max_seconds: float | None = None
    target_loss: float | None = None
    patience: int | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        check_whole(max_renders=self.max_renders)
        if self.max_renders > MOST_RENDERS:
            years = f"{self.max_renders * FASTEST_RENDER / SECONDS_A_YEAR:.2g} years at a microsecond each"
            raise SettingError(f"max_renders must be at most {MOST_RENDERS}, got {self.max_renders}: {years}")
        object.__setattr__(self, "max_renders", int(self.max_renders))  # numbers of NumPy are numbers, too
        if self.patience is not None:
            check_whole(patience=self.patience)
        if self.max_seconds is not None:
            check_positive(max_seconds=self.max_seconds)
        if self.target_loss is not None and not isinstance(self.target_loss, Real):
            raise SettingError(f"target_loss must be a number, got {self.target_loss!r}")
        check_positive(max_failed=self.max_failed)
        if self.max_failed > 1:
            raise SettingError(f"max_failed must be a fraction of at most 1, got {self.max_failed}")

    def stop_reason(self, ledger: Ledger, seconds: float) -> StopReason | None:
        """The limit that the run has reached after `seconds` of rendering and method, or None if it goes on."""
        target_reached = self.target_loss is not None and ledger.best_loss <= self.target_loss
        out_of_time = self.max_seconds is not None and seconds >= self.max_seconds
        mostly_failing = ledger.renders >= JUDGED_FROM and ledger.failed > self.max_failed * ledger.renders
        out_of_patience = self.patience is not None and ledger.renders - ledger.improved_at >= self.patience
        reasons = {
            StopReason.TARGET: target_reached,
            StopReason.BUDGET: ledger.exhausted,
            StopReason.TIME: out_of_time,
            StopReason.FAILED_RENDERS: mostly_failing,
            StopReason.NO_PROGRESS: out_of_patience,
            StopReason.NOTHING_NEW: ledger.repeats_in_a_row >= REPEATS + REPEATS_PER_PARAMETER * len(ledger.best_theta),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)
