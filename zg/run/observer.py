"""What watches a run, without Lightning or beneath it."""

from collections.abc import Sequence
from typing import Any

from zg.loop import Loop


class Observer:
    """Is told of every iteration. Quick, for there may be thousands a second."""

    def started(self, loop: Loop) -> None:
        """Everything is built, or restored; the first iteration comes next."""

    def iterated(self, loop: Loop) -> None:
        """After an iteration."""

    def ended(self, loop: Loop) -> None:
        """The run has ended by itself."""

    def failed(self, loop: Loop) -> None:
        """An exception has ended the run, perhaps before `started`."""

    def closed(self) -> None:
        """Last of all, whatever happened."""

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


def drive(loop: Loop, observers: Sequence[Observer]) -> None:
    """Iterate a started loop until something ends it."""
    try:
        for observer in observers:
            observer.started(loop)
        while not loop.stop_reason():
            loop.iterate()
            for observer in observers:
                observer.iterated(loop)
        for observer in observers:
            observer.ended(loop)
    except BaseException:
        for observer in observers:
            observer.failed(loop)
        raise
    finally:
        for observer in observers:
            observer.closed()


class Call(Observer):
    """Calls a function of the user's after every iteration; a true value ends the run."""

    def __init__(self, function: Any, reason: str) -> None:
        self.function, self.reason = function, reason

    def iterated(self, loop: Loop) -> None:
        if self.function(loop):
            loop.asked_to_stop = self.reason
