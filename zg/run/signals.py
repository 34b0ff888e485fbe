"""Signals that end a run: SIGINT (Ctrl-C), SIGTERM, and SIGHUP (the terminal has closed)."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from zg.budget import StopReason
from zg.errors import Interrupted
from zg.run.observer import Observer, Running

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals(Observer[Running]):
    """Inside `with`, the first signal ends the run after the present iteration. The second raises `Interrupted`.

    Before the first iteration there is nothing to complete, such as while the task is built: the first signal raises.
    The handlers of the caller are restored at the end of the block. A signal that the caller ignores stays ignored, as
    after `nohup`. In other threads than the main thread, Python allows no handlers; signals then act as without a run.

    deliver_again: whether the signal that ended the run is then sent to this process again: it is the caller's, too.
    number: the signal that ended the run, or None.
    """

    def __init__(self, deliver_again: bool = False) -> None:
        self.deliver_again = deliver_again
        self.number: int | None = None
        self._former: dict[int, Any] = {}
        self._loop: Running | None = None

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            former = {number: signal.getsignal(number) for number in NUMBERS}
            # A handler that was not set by Python is None and could not be restored.
            self._former = {
                number: handler for number, handler in former.items() if handler not in (None, signal.SIG_IGN)
            }
        self._set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give every signal back the handler that it had before."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self.deliver_again and self.number is not None:
            signal.raise_signal(self.number)

    def started(self, loop: Running) -> None:
        self._loop = loop
        self._set()  # again: Lightning has set handlers of its own

    def _set(self) -> None:
        for number in self._former:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first, self.number = self.number is None, number
        if self._loop is None or not is_first:
            raise Interrupted(number)
        self._loop.asked_to_stop = StopReason.INTERRUPTED
