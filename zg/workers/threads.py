"""A pool of threads of this process, for functions: nothing is sent, and nothing can be ended before it returns.

Python runs the code of one thread at a time. Threads gain where the function waits, or works in code that releases the
interpreter's lock, as NumPy, PyTorch and programs do. Whether they gain is measured, and a warning says so where they
do not.
"""

import queue
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError, in_words, warn_user
from zg.workers.pool import Function, Pool, PoolSettings, Result, Scene

# Calls that run alone, to be compared with calls side by side; the first one may also import and fill caches.
ALONE = 2
# Calls side by side, and seconds of them, before they are judged; and the factor below which threads gain nothing.
JUDGED_CALLS, JUDGED_SECONDS, GAIN = 8, 0.5, 1.25


class Threads(Pool):
    """Threads of this process. `close` waits for the calls that have started, and cancels the others."""

    def __init__(self, renderer: Function | Scene, settings: PoolSettings) -> None:
        if isinstance(renderer, Scene):
            raise SettingError(f"pool must be processes or ray for {renderer.name}, a renderer of its own, got threads")
        super().__init__(renderer, settings)
        self.call = renderer.call
        self._threads: ThreadPoolExecutor | None = None
        self._ended: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.gain = Gain(settings.workers)

    def start(self) -> None:
        self._threads = self._threads or ThreadPoolExecutor(self.settings.workers)

    def submit(self, x: NDArray[np.float64], seed: int = 0) -> int:
        self.start()
        assert self._threads is not None
        ticket = self._ticket()
        self._threads.submit(self._render, ticket, x, seed)
        return ticket

    def next(self) -> Result:
        result = self._ended.get()
        if isinstance(result.error, Exception | SystemExit | None):
            return result
        raise result.error  # no failed render: it ends the run, as it does where a function is called without threads

    def end(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads, self._ended = None, queue.SimpleQueue()

    def run(self, x: NDArray[Any], seeds: Sequence[int] | NDArray[np.int64] | None = None) -> list[Result]:
        seeds = [0] * len(x) if seeds is None else seeds
        results: list[Result] = []
        while len(results) < len(x):
            left = slice(len(results), len(results) + 1 if self.gain.needs_alone else None)
            start = time.perf_counter()
            results += super().run(x[left], seeds[left])
            self.gain.note(len(x[left]), time.perf_counter() - start)
        self.errors = [in_words(result.error) for result in results if result.error is not None]
        return results

    def _render(self, ticket: int, x: NDArray[np.float64], seed: int) -> None:
        try:
            result = Result(ticket, self.call(x, seed))
        except BaseException as error:  # of every kind: `next` waits for something
            result = Result(ticket, None, error)
        self._ended.put(result)


class Gain:
    """Measures whether a number of threads makes more renders a second than one, and warns once if it does not."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.alone: list[float] = []
        self.calls, self.seconds = 0, 0.0
        self.is_judged = workers == 1

    @property
    def needs_alone(self) -> bool:
        """Whether the next call is to run alone, as a measure for the others."""
        return not self.is_judged and len(self.alone) < ALONE

    def note(self, calls: int, seconds: float) -> None:
        """Note that a batch of calls took that time."""
        if self.is_judged:
            return
        if calls == 1:
            self.alone.append(seconds)
        elif calls >= self.workers:
            self.calls, self.seconds = self.calls + calls, self.seconds + seconds
        if self.calls < JUDGED_CALLS or self.seconds < JUDGED_SECONDS or self.needs_alone:
            return
        self.is_judged = True
        factor = statistics.median(self.alone) * self.calls / self.seconds
        if factor < GAIN:
            warn_user(
                f"{self.workers} threads make {factor:.2g} times the renders a second of one, as Python runs the code "
                "of one thread at a time: pool='processes' helps where a call takes more than a millisecond"
            )
