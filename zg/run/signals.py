"""SIGINT and SIGTERM during a run."""

import signal
import threading
from typing import Any

from zg.budget import StopReason
from zg.loop import Loop
from zg.run.observer import Observer


class Signals(Observer):
    """The first SIGINT or SIGTERM ends the run after the present iteration. The second raises KeyboardInterrupt.

    The handlers of the caller are restored at the end. In other threads than the main thread, Python allows no
    handlers; signals then act as without a run.
    """

    def __init__(self) -> None:
        # Read here and not in `started`: before that, Lightning has set handlers of its own. A handler that was not set
        # by Python is None and could not be restored.
        former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._former = {number: handler for number, handler in former.items() if handler is not None}
        self._are_set = False
        #: The signal that ended the run, or None.
        self.number: int | None = None

    def started(self, loop: Loop) -> None:
        def on_signal(number: int, frame: Any) -> None:
            if loop.asked_to_stop == StopReason.INTERRUPTED:
                raise KeyboardInterrupt
            loop.asked_to_stop, self.number = StopReason.INTERRUPTED, number

        if threading.current_thread() is threading.main_thread():
            for number in self._former:
                signal.signal(number, on_signal)
            self._are_set = True

    def closed(self) -> None:
        if self._are_set:
            for number, handler in self._former.items():
                signal.signal(number, handler)
            self._are_set = False

    def deliver_again(self) -> None:
        """Send the signal that ended the run to this process, whose own handlers are back: it is the caller's, too."""
        if self.number is not None:
            signal.raise_signal(self.number)
