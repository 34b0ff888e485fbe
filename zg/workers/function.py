"""The scene file of a function of the user: `zg.workers.child` loads it, in a process that is started cleanly.

It imports what the function needs, and nothing more: without PyTorch such a process holds about 35 MB.
"""

import sys
from typing import Any


class FunctionRenderer:
    """call: (x [n] float64, seed) -> numbers, or None for a failed render. file: of its code, for errors."""

    def __init__(self, call: Any, file: str) -> None:
        self.call, self.file = call, file

    def render(self, x: Any, seed: int) -> Any:
        """The returned numbers as an array of their own shape and type."""
        from zg.arrays import as_array

        value = self.call(x, seed)
        if value is None:
            raise ValueError("render returned None (is there a `return`?)")
        return as_array(value, "the value that render returns")


def load(settings: dict[str, Any]) -> FunctionRenderer:
    """settings: `path`, where modules are searched for; `parcel`, a file descriptor; `file`, of the function's code."""
    sys.path[:] = settings["path"]
    from zg.workers.parcel import unpack

    return FunctionRenderer(unpack(settings["parcel"]), settings["file"])
