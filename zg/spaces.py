"""The parameter space of a call, from what people give: a start, bounds, whole numbers, or a space.

init=[3.0, -1.0]                                       real numbers without bounds
bounds=[(0, 1), (None, 5)]                             a pair for each coordinate, as SciPy has them
bounds=(0, 1)                                          one pair for all
bounds={"place": (0, 1), "count": (1, 40)}             by name
integer=True, integer=[False, True], integer=[1]       all, flags, or positions from 0
integer=["count"]                                      by name
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zg.block import named
from zg.errors import SettingError
from zg.images import as_numbers
from zg.space import Block, ParameterSpace

Values = Tensor | NDArray[Any] | Sequence[float] | float
Init = Values | Mapping[str, Any]
Space = ParameterSpace | Mapping[str, Block] | Block


def make_space(init: Init | None, space: Space | None, bounds: Any = None, integer: Any = None) -> ParameterSpace:
    """The parameter space of a call.

    init: the initial values; they replace those of `space`. Without it, the start is the middle of the bounds. Without
        `space` and bounds, the parameters are real and unbounded, with scale 1.
    space: a parameter space, blocks by name, or one block; it has bounds and kinds of its own.
    bounds: pairs (low, high) in the user's units, or an object with `lb` and `ub` as SciPy's Bounds; None is no bound.
    integer: which parameters are whole numbers.
    Raises SettingError if nothing says how many parameters there are, and for names or shapes that differ.
    """
    if space is None:
        return _described(init, bounds, integer)
    if bounds is not None or integer is not None:
        raise SettingError("bounds and integer are part of space: give either space, or bounds and integer")
    if isinstance(space, ParameterSpace):
        blocks = dict(space.blocks)
    elif isinstance(space, Mapping):
        blocks = dict(space)
    elif isinstance(space, Block):
        blocks = {"x": space}
    else:
        raise SettingError(f"space must be a ParameterSpace, a Block or Blocks by name, got {type(space).__name__}")
    if not blocks:
        raise SettingError("space must have a Block for each name, got none")
    for name, block in blocks.items():
        if not isinstance(block, Block):
            raise SettingError(f"space.{name} must be a Block, got {block!r:.80}{_meant(name, block)}")
    if init is None:
        return space if isinstance(space, ParameterSpace) else ParameterSpace(blocks)
    starts = init if isinstance(init, Mapping) else {next(iter(blocks)): init}
    if starts.keys() != blocks.keys():
        raise SettingError(f"init must name the blocks of space, {list(blocks)}, got {list(starts)}")
    return ParameterSpace({name: _with_init(name, block, starts[name]) for name, block in blocks.items()})


def _meant(name: str, given: Any) -> str:
    """What somebody means who gives this in place of a block."""
    if isinstance(given, Sequence) and len(given) == 2 and not isinstance(given, str):
        low, high = given
        return f"; bounds are bounds={{{name!r}: ({low!r}, {high!r})}}, or zg.Block(init, low={low!r}, high={high!r})"
    return f"; a start alone is init={{{name!r}: …}}" if isinstance(given, int | float) else ""


def solution_of(target: Init, space: ParameterSpace) -> Tensor:
    """The target as x [n] in the user's units, float64. Raises SettingError for another number of values."""
    if space.groups:
        return space.point(target if isinstance(target, Mapping) else {space.names[0]: target})
    x = make_space(target, None).init.to(torch.float64)
    if x.numel() != space.n:
        raise SettingError(f"target must have {space.n} values as init does, got {x.numel()}")
    return x


def _with_init(name: str, block: Block, start: Any) -> Block:
    """The block with another initial value."""
    if block.kind == "categorical":
        with named(name):
            return replace(block, init=start)
    init, declared = as_numbers(start, f"init.{name}"), torch.as_tensor(block.init)
    if declared.ndim and init.shape != declared.shape:
        raise SettingError(f"init.{name} must have shape {list(declared.shape)} as space says, got {list(init.shape)}")
    with named(name):
        return replace(block, init=init)


def _described(init: Init | None, bounds: Any, integer: Any) -> ParameterSpace:
    """A space without Blocks: of a start, bounds and whole numbers, each by name or as one vector."""
    named = next((given for given in (init, bounds) if isinstance(given, Mapping)), None)
    if named is None:
        if init is None and bounds is None:
            raise SettingError("init must be given if space and bounds are not")
        return ParameterSpace(x=_block("", init, bounds, integer))
    for setting, given in {"init": init, "bounds": bounds}.items():
        if given is not None and not isinstance(given, Mapping):
            raise SettingError(f"{setting} must have the names {list(named)}, got {given!r}")
    starts = init if isinstance(init, Mapping) else {}
    pairs = bounds if isinstance(bounds, Mapping) else {}
    names = list(starts) + [name for name in pairs if name not in starts]
    whole = _named_integers(names, integer)
    if init is not None and (unknown := [name for name in pairs if name not in starts]):
        raise SettingError(f"bounds must have names of init, {list(starts)}, got {unknown}")
    return ParameterSpace({name: _block(name, starts.get(name), pairs.get(name), whole.get(name)) for name in names})


def _named_integers(names: Sequence[str], integer: Any) -> dict[str, Any]:
    """{name: what is whole in it} from True, names, or flags by name."""
    if integer is None or isinstance(integer, bool):
        return dict.fromkeys(names, integer)
    found = dict(integer) if isinstance(integer, Mapping) else dict.fromkeys(np.atleast_1d(integer).tolist(), True)
    if unknown := [name for name in found if name not in names]:
        raise SettingError(f"integer must have names of parameters, {list(names)}, got {unknown}")
    return found


def _block(name: str, init: Any, bounds: Any, integer: Any) -> Block:
    """One block of a start, bounds and whole numbers."""
    dot = f".{name}" if name else ""
    start = None if init is None else as_numbers(init, f"init{dot}")
    low, high = (None, None) if bounds is None else _sides(bounds, f"bounds{dot}", start)
    if start is None:
        if low is None or high is None:
            raise SettingError(f"init{dot} must be numbers, or bounds{dot} must be given, got neither")
        if not (low.isfinite() & high.isfinite()).all():
            raise SettingError(f"bounds{dot} must be finite where there is no start, got {bounds!r}")
        start = 0.5 * (low + high)
    kinds = _kinds(integer, start, f"integer{dot}")
    whole = torch.tensor([kind == "integer" for kind in kinds], dtype=torch.bool).reshape(start.shape)
    start = torch.where(whole, start.round(), start) if whole.any() and init is None else start
    is_one = len(set(kinds)) == 1
    with named(name or "x"):
        return Block(start, low, high, kind=kinds[0] if is_one else kinds)


def _sides(bounds: Any, setting: str, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds, each one number or one for each coordinate; infinite where there is none."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return as_numbers(np.array(bounds.lb), setting).double(), as_numbers(np.array(bounds.ub), setting).double()
    wrong = SettingError(f"{setting} must be a pair (low, high), or a pair for each parameter, got {bounds!r}")
    pairs = bounds.tolist() if isinstance(bounds, np.ndarray | Tensor) else bounds
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        raise wrong
    is_one = len(pairs) == 2 and all(not isinstance(side, Sequence | np.ndarray | Tensor) for side in pairs)
    pairs = [list(pairs)] if is_one else [list(pair) if isinstance(pair, Sequence) else pair for pair in pairs]
    if not pairs or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise wrong
    if start is not None and not is_one and len(pairs) != start.numel():
        raise SettingError(f"{setting} must be one pair, or {start.numel()}, one for each parameter, got {len(pairs)}")
    low = as_numbers([-math.inf if low is None else low for low, _ in pairs], setting).double()
    high = as_numbers([math.inf if high is None else high for _, high in pairs], setting).double()
    shape = () if is_one else low.shape if start is None else start.shape
    return low.reshape(shape), high.reshape(shape)


def _kinds(integer: Any, start: Tensor, setting: str) -> list[Any]:
    """The kind of each coordinate, from True, flags, or positions."""
    n = start.numel()
    if integer is None or isinstance(integer, bool):
        return ["integer" if integer else "real"] * n
    given = integer.tolist() if isinstance(integer, np.ndarray | Tensor) else integer
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise SettingError(f"{setting} must be True, flags or positions, got {integer!r}")
    if all(isinstance(flag, bool) for flag in given):
        if len(given) != n:
            raise SettingError(f"{setting} must have {n} flags, one for each parameter, got {len(given)}")
        return ["integer" if flag else "real" for flag in given]
    is_right = all(isinstance(k, int) and not isinstance(k, bool) and 0 <= k < n for k in given)
    if not is_right or len(set(given)) < len(given):
        raise SettingError(
            f"{setting} must be True, {n} flags, or distinct positions from 0 to {n - 1}, got {integer!r}"
        )
    return ["integer" if k in given else "real" for k in range(n)]
