"""The zoo: small graphics-like problems that no method here was made with.

Each problem is a generator: `ZOO["circle"].make(7)` is a task, and every instance has another target and another
start. The families differ in kind, and half of them are held out: whoever works on a default looks at problems and
results of DEVELOPMENT alone. Both halves have hard edges, noise, symmetric starts, integers, many parameters, spaces
without bounds, and many minima.

    python -m benchmarks.zoo                        the table of all problems
    python -m benchmarks.zoo --draw OUT.png [NAME]  reference and start of each, instance 1
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from benchmarks.zoo import colour, fractals, hard_shapes, materials, particles, path_tracing, splats, text, tiles
from benchmarks.zoo.base import ZooTask

_DEVELOPMENT: tuple[ModuleType, ...] = (
    hard_shapes,
    splats,
    path_tracing,
    text,
    colour,
    materials,
    fractals,
    particles,
    tiles,
)
_HELD_OUT: tuple[ModuleType, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A problem. make: (instance, one_block=False) -> the task; the same instance gives the same bits."""

    name: str
    family: str
    make: Callable[..., ZooTask]


def _family(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


ZOO: dict[str, Entry] = {
    problem.name: Entry(problem.name, _family(module), problem)
    for module in (*_DEVELOPMENT, *_HELD_OUT)
    for problem in module.PROBLEMS
}
DEVELOPMENT: tuple[str, ...] = tuple(map(_family, _DEVELOPMENT))
HELD_OUT: tuple[str, ...] = tuple(map(_family, _HELD_OUT))


def names(half: Literal["development", "held_out", "all"]) -> list[str]:
    """Names of the problems of one half, or of both."""
    families = {"development": DEVELOPMENT, "held_out": HELD_OUT, "all": DEVELOPMENT + HELD_OUT}[half]
    return [entry.name for entry in ZOO.values() if entry.family in families]


def renders(n: int) -> int:
    """The budget of a problem with n parameters."""
    return min(200 * n, 5_000)
