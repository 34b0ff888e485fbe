"""What methods need that live in somebody else's library."""

from types import TracebackType

import numpy as np


class NumpyRandom:
    """A private state for a library that draws from NumPy's global generator: swapped in and out around each call.

    Inside `with`, the global generator is the one that `np.random.seed(seed)` starts; outside nobody notices.
    """

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed % 2**32).get_state()

    def __enter__(self) -> "NumpyRandom":
        self._outside = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._state)  # noqa: NPY002
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._outside)  # noqa: NPY002
