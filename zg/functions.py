"""A task made of somebody's function, for `optimize`, `minimize` and `Optimizer`."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor

from zg.errors import SettingError, check_whole
from zg.losses import Loss
from zg.space import Block, ParameterSpace
from zg.task import Task

Values = Tensor | np.ndarray | Sequence[float] | float
Init = Values | Mapping[str, Values]


def make_space(init: Init | None, space: ParameterSpace | Mapping[str, Block] | Block | None) -> ParameterSpace:
    """A space from what a user gives: one of its own, blocks, or a start alone (real, unbounded, scale 1).

    Raises SettingError when both are missing, or do not fit each other.
    """
    if isinstance(space, ParameterSpace):
        blocks = dict(space.blocks)
    elif isinstance(space, Mapping):
        blocks = dict(space)
    elif isinstance(space, Block):
        blocks = {"x": space}
    elif space is not None:
        raise SettingError(f"space must be a ParameterSpace, a Block or Blocks by name, got {type(space).__name__}")
    elif init is None:
        raise SettingError("init must be given where no space is")
    elif isinstance(init, Mapping):
        return ParameterSpace({name: Block(as_tensor(value, f"init.{name}")) for name, value in init.items()})
    else:
        return ParameterSpace(x=Block(as_tensor(init, "init")))
    if init is None:
        return space if isinstance(space, ParameterSpace) else ParameterSpace(blocks)
    starts = init if isinstance(init, Mapping) else {next(iter(blocks)): init}
    if starts.keys() != blocks.keys():
        raise SettingError(f"init must name the blocks of space, {list(blocks)}, got {list(starts)}")
    return ParameterSpace({name: _started(name, block, starts[name]) for name, block in blocks.items()})


def _started(name: str, block: Block, start: Values) -> Block:
    init, declared = as_tensor(start, f"init.{name}"), torch.as_tensor(block.init)
    if declared.ndim and init.shape != declared.shape:
        raise SettingError(f"init.{name} must have shape {list(declared.shape)} as space says, got {list(init.shape)}")
    return Block(init, block.low, block.high, block.scale, block.kind, block.log)


def as_tensor(value: Any, setting: str) -> Tensor:
    """Real numbers of any kind as a tensor. Raises SettingError, naming the setting, when they are none."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        found = torch.as_tensor(array.astype(np.int32) if array.dtype == np.uint16 else array)
    except (TypeError, ValueError):
        raise SettingError(f"{setting} must be numbers, got {type(value).__name__}") from None
    if found.is_complex():
        raise SettingError(f"{setting} must be real numbers, got complex ones")
    return found


def as_image(value: Any, setting: str) -> Tensor:
    """A picture as float values: bytes of 0 … 255 and 16-bit integers become 0 … 1, all else stays as it is."""
    largest = {"uint8": 255.0, "uint16": 65535.0}.get(str(getattr(value, "dtype", "")).removeprefix("torch."), 1.0)
    values = as_tensor(value, setting)
    return values.double() / largest if largest > 1 or not values.is_floating_point() else values


def read_reference(reference: Any, linear: bool) -> Tensor:
    """The reference as [C, H, W] float, from numbers or a picture file. Warns of display values beyond [0, 1]."""
    if isinstance(reference, str | Path):
        try:
            reference = imageio.imread(reference)
        except (OSError, ValueError) as error:
            raise SettingError(f"reference must be a picture that can be read, got '{reference}' ({error})") from None
    image = channels_first(as_image(reference, "reference").float())
    if not linear and image.ndim >= 3 and (image.min() < 0 or image.max() > 1):
        warnings.warn(
            f"reference goes from {image.min():g} to {image.max():g}; pictures and PSNR take 0 … 1 for black and white "
            "(linear radiance: say linear=True)",
            stacklevel=2,
        )
    return image


def channels_first(image: Tensor) -> Tensor:
    """An image as [C, H, W]: grey [H, W] gets a channel, [H, W, C] with 1, 3 or 4 channels is turned; else as it is."""
    if image.ndim == 2:
        return image[None]
    if image.ndim == 3 and image.shape[-1] in (1, 3, 4) and image.shape[0] not in (1, 3, 4):
        return image.permute(2, 0, 1).contiguous()
    return image


@dataclass(frozen=True)
class Calling:
    """How the user's function is called.

    args, kwargs: further arguments. batched: with [B, ...] of each parameter. named: with the blocks as keyword
    arguments. tensors: x as tensors, else as NumPy arrays. scalar: x as one float.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    batched: bool
    named: bool
    tensors: bool
    scalar: bool


class FunctionTask(Task):
    """`render` of the user, against a reference image, a known θ, or nothing (then it returns the loss).

    named: whether render takes the blocks as keyword arguments. batched: whether it takes [B, ...] of each. x is handed
    over as what `like` is: a NumPy array, a tensor, or a float for a single number. workers: threads that render.
    """

    def __init__(
        self,
        render: Callable[..., Any],
        space: ParameterSpace,
        *,
        reference: Any = None,
        target: Init | None = None,
        loss: str | Loss = "mse",
        regulariser: Callable[[Tensor], Tensor] | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        batched: bool = False,
        named: bool = False,
        like: Any = None,
        linear: bool = False,
        workers: int = 1,
    ) -> None:
        super().__init__(loss)
        check_whole(workers=workers)
        if regulariser is not None and not callable(regulariser):
            raise SettingError(f"regulariser must be a function, got {type(regulariser).__name__}")
        if isinstance(args, str) or not isinstance(args, Sequence):
            raise SettingError(f"args must be a list of arguments, got {args!r}")
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise SettingError(f"kwargs must be arguments by name, got {kwargs!r}")
        self.function, self.space, self.raw_reference, self.target = render, space, reference, target
        self.penalty, self.linear, self.workers = regulariser, linear, workers
        scalar = not named and not batched and isinstance(like, int | float)
        self.calling = Calling(args, dict(kwargs or {}), batched, named, isinstance(like, Tensor), scalar)
        self.pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def build(self) -> None:
        if self.target is not None:
            self.solution = make_space(self.target, None).init.to(torch.float64)
            if self.solution.numel() != self.space.n:
                raise SettingError(f"target must have {self.space.n} values as init does, got {self.solution.numel()}")
            self.set_reference(self.render(self.solution[None].to(self.space.dtype))[0])
        elif self.raw_reference is not None:
            self.set_reference(read_reference(self.raw_reference, self.linear))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        if self.calling.batched:
            return self.image(self._call(x), len(x))
        if self.pool is None:
            return torch.stack([self.image(self._call(one), None) for one in x])
        calls = [self.pool.submit(self._call, one) for one in x]
        errors = [call.exception() for call in calls]
        if all(errors):
            raise next(filter(None, errors))
        images = [None if error else self.image(call.result(), None) for call, error in zip(calls, errors, strict=True)]
        some = next(image for image in images if image is not None)
        self.last_error = next((f"{type(error).__name__}: {error}" for error in errors if error), "")
        return torch.stack([torch.full_like(some, math.nan) if image is None else image for image in images])

    @property
    def chunk(self) -> int | None:
        return None if self.calling.batched else self.workers

    def regulariser(self, x: Tensor) -> Tensor | float:
        return 0.0 if self.penalty is None else self.penalty(x)

    def image(self, rendered: Any, batch: int | None) -> Tensor:
        """What the user's render returned, as [(B,) C, H, W] or, for a loss, [(B)] float."""
        values = as_image(rendered, "the value that render returns").to(self.device)
        values = values.double() if values.ndim <= (batch is not None) else values.float()
        if batch is None:
            return channels_first(values)
        return torch.stack([channels_first(value) for value in values]) if len(values) else values

    def _call(self, x: Tensor) -> Any:
        if self.calling.named:
            named = {name: self._handed(value) for name, value in self.space.split(x).items()}
            return self.function(*self.calling.args, **named, **self.calling.kwargs)
        shape = self.space.shapes[0] if len(self.space.shapes) == 1 else x.shape[-1:]
        return self.function(
            self._handed(x.reshape((*x.shape[:-1], *shape))), *self.calling.args, **self.calling.kwargs
        )

    def _handed(self, x: Tensor) -> Any:
        if self.calling.scalar:
            return float(x)
        return x if self.calling.tensors else x.cpu().numpy()


def check_callable(render: Any, setting: str) -> None:
    """Raise SettingError unless `render` can be called with something."""
    if not callable(render):
        raise SettingError(f"{setting} must be a function, got {type(render).__name__}")
    try:
        takes = inspect.signature(render).parameters
    except (TypeError, ValueError):
        return  # built in C: it will say for itself
    if not takes:
        raise SettingError(f"{setting} must take the parameters, and takes nothing")
