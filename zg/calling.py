"""How a function of the user is called: from a vector x to the arguments that it wants.

It imports no PyTorch: a worker of a function that needs none has none.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from zg.arrays import as_array, check_number
from zg.errors import SettingError


class Argument(NamedTuple):
    """A block of x: its name, its shape, whether it holds integers, and its choices if it is categorical.

    The shape of a categorical block ends in the number of choices, for x is one-hot along this axis.
    """

    name: str
    shape: tuple[int, ...]
    is_whole: bool
    choices: Sequence[Any] | None = None

    def choice(self, x: Any) -> Any:
        """The choice that one-hot x [..., k] stands for, or an array [...] of choices."""
        assert self.choices is not None
        which = np.asarray(x).argmax(-1)
        if which.ndim == 0:
            return self.choices[int(which)]
        values = np.empty(len(self.choices), dtype=object)
        values[:] = self.choices
        alike = len({type(value) for value in self.choices}) == 1 and isinstance(self.choices[0], str | int | float)
        return (np.array(self.choices) if alike else values)[which]


@dataclass(frozen=True)
class Calling:
    """The function of the user with everything but x.

    args, kwargs: further arguments, positional and by name.
    blocks: of x. dtype: of x, as NumPy names it.
    batched: each parameter has a leading dimension B.
    named: the blocks are keyword arguments; else x is the first argument.
    kind: x is a tensor, an array of NumPy, or one number.
    losses: names of the losses that the function returns, if it returns several by name; in this order they come back.
    """

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    blocks: Sequence[Argument]
    dtype: str
    batched: bool
    named: bool
    kind: Literal["tensor", "array", "number"]
    losses: Sequence[str] = ()

    def __call__(self, x: Any, seed: int = 0) -> Any:
        """Call the function with a copy of x [(B,) n], a tensor or an array. It draws its own random numbers."""
        returned = self._returned(x)
        return in_order(returned, self.losses, self.batched) if self.losses else returned

    def _returned(self, x: Any) -> Any:
        if isinstance(x, np.ndarray):
            x = x.astype(self.dtype, copy=False)
        if self.named:
            return self.function(*self.args, **self.by_name(x), **self.kwargs)
        one = self.blocks[0] if len(self.blocks) == 1 else Argument("x", x.shape[-1:], False)
        return self.function(self._converted(x.reshape((*x.shape[:-1], *one.shape)), one), *self.args, **self.kwargs)

    def by_name(self, x: Any) -> dict[str, Any]:
        """The blocks of x [(B,) n] by name, each as the function gets it."""
        return {block.name: self._converted(part, block) for block, part in divided(x, self.blocks)}

    def _converted(self, x: Any, block: Argument) -> Any:
        """A copy as the user's function gets it: integers and binaries as integers, one number as a scalar."""
        is_whole = block.is_whole
        if block.choices is not None:
            return block.choice(x if isinstance(x, np.ndarray) else x.cpu().numpy())
        if self.kind == "number":
            return int(x) if is_whole else float(x)
        if self.kind == "tensor":
            import torch

            x = torch.as_tensor(x)
            return x.to(torch.int64) if is_whole else x.clone()
        array = x if isinstance(x, np.ndarray) else x.cpu().numpy()
        return array.astype(np.int64)[()] if is_whole else array.copy()[()]


def in_order(returned: Any, names: Sequence[str], batched: bool = False) -> Any:
    """Losses that were returned by name, as an array [m] or [B, m] in the order of the names; None stays None.

    Raises SettingError for anything but one number, or [B] of them, for each of the names.
    """
    if returned is None:
        return None
    if not isinstance(returned, Mapping) or set(returned) != set(names):
        got = sorted(map(str, returned)) if isinstance(returned, Mapping) else type(returned).__name__
        raise SettingError(f"the returned losses must have the names of loss, {list(names)}, got {got}")
    found = [as_array(returned[name], f"the loss {name}") for name in names]
    for name, loss in zip(names, found, strict=True):
        check_number(loss, f"the loss {name}")
        if loss.ndim > batched and loss.size != 1:
            raise SettingError(f"the loss {name} must be one number for each x, got shape {list(loss.shape)}")
    told = [loss.astype(np.float64) for loss in found]
    return np.stack(told if batched else [loss.reshape(()) for loss in told], axis=-1)


def divided(x: Any, blocks: Sequence[Argument]) -> Iterator[tuple[Argument, Any]]:
    """The blocks of x [(B,) n], each with its part [(B,) *shape]."""
    start = 0
    for block in blocks:
        part = x[..., start : (start := start + math.prod(block.shape))]
        yield block, part.reshape((*x.shape[:-1], *block.shape))
