"""How much a loop of renders leaves behind."""

import gc
from collections.abc import Callable
from pathlib import Path

PAGE_MB = 4096 / 2**20


def growth_mb(render: Callable[[int], object], renders: int, after: int = 100) -> float:
    """Megabytes that this process grew by from the first `after` renders to the last."""
    for i in range(after):
        render(i)
    start = resident_mb()
    for i in range(after, renders):
        render(i)
    return resident_mb() - start


def resident_mb() -> float:
    """Memory of this process, on Linux."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB
