"""SIGINT and SIGTERM during a run."""

import signal
import threading
from typing import Any

from zg.budget import StopReason
from zg.loop import Loop
from zg.run.observer import Observer


class Signals(Observer):
    """The first SIGINT or SIGTERM ends the run after this iteration, the second interrupts at once."""

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}

    def started(self, loop: Loop) -> None:
        def on_signal(number: int, frame: Any) -> None:
            if loop.asked_to_stop == StopReason.INTERRUPTED:
                raise KeyboardInterrupt
            loop.asked_to_stop = StopReason.INTERRUPTED

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, on_signal)

    def closed(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
