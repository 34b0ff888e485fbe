"""Observers of a run. They are called by the bare loop, `drive`, and by Lightning's hooks (`zg.run.module`)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from zg.loop import Loop


class Running(Protocol):
    """What every run shows to observers: a `Loop`, or a `zg.run.training.Training`.

    asked_to_stop: the reason, set by an observer, to end the run after the present iteration. resumable: whether a run
    can go on from the present state.
    """

    asked_to_stop: str | None
    resumable: bool

    @property
    def renders(self) -> int:
        """Number of counted renders so far."""


#: The run that an observer observes. `Observer[Running]` observes any run; `Observer` alone, that of a method.
Run = TypeVar("Run", bound=Running, contravariant=True, default=Loop)


class Observer(Generic[Run]):
    """Base class, whose hooks do nothing. `iterated` must be fast: there may be thousands of iterations per second."""

    def started(self, loop: Run) -> None:
        """Task and method are built, or restored from a checkpoint. The first iteration follows."""

    def iterated(self, loop: Run) -> None:
        """An iteration has ended."""

    def ended(self, loop: Run) -> None:
        """The run has ended without an exception."""

    def failed(self, loop: Run) -> None:
        """An exception has ended the run, possibly before `started`."""

    def closed(self) -> None:
        """The last call, also after an exception."""

    def state(self) -> dict[str, Any]:
        """The state for the checkpoint, as plain values."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""


def drive(loop: Loop, observers: Sequence[Observer]) -> None:
    """Run a started loop to its end, without Lightning."""
    with closing_all(observers):
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


@contextmanager
def closing_all(observers: Sequence[Observer[Any]]) -> Iterator[None]:
    """Closes every observer at the end of the block, also where a method of another one raises."""
    with ExitStack() as stack:
        for observer in reversed(observers):
            stack.callback(observer.closed)
        yield


class Call(Observer):
    """Calls a function of the user after every iteration. A true return value ends the run, with this reason."""

    def __init__(self, function: Callable[[Loop], Any], reason: str) -> None:
        self.function, self.reason = function, reason

    def iterated(self, loop: Loop) -> None:
        if self.function(loop):
            loop.asked_to_stop = self.reason
