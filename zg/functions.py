"""A task made of a function of the user, for `zg.optimize` and `zg.minimize`."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zg.errors import SettingError, check_whole
from zg.losses import Loss
from zg.space import Block, ParameterSpace
from zg.task import Task

Values = Tensor | NDArray[Any] | Sequence[float] | float
Init = Values | Mapping[str, Values]


def make_space(init: Init | None, space: ParameterSpace | Mapping[str, Block] | Block | None) -> ParameterSpace:
    """The parameter space that `init` and `space` describe.

    init: the initial values; they replace those of `space`. Without `space`, the parameters are real and unbounded,
        with scale 1.
    space: a parameter space, blocks by name, or one block.
    Raises SettingError if both are None, or if their names or shapes differ.
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
        raise SettingError("init must be given if space is not")
    elif isinstance(init, Mapping):
        return ParameterSpace({name: Block(as_tensor(value, f"init.{name}")) for name, value in init.items()})
    else:
        return ParameterSpace(x=Block(as_tensor(init, "init")))
    if init is None:
        return space if isinstance(space, ParameterSpace) else ParameterSpace(blocks)
    starts = init if isinstance(init, Mapping) else {next(iter(blocks)): init}
    if starts.keys() != blocks.keys():
        raise SettingError(f"init must name the blocks of space, {list(blocks)}, got {list(starts)}")
    return ParameterSpace({name: _with_init(name, block, starts[name]) for name, block in blocks.items()})


def _with_init(name: str, block: Block, start: Values) -> Block:
    """The block with another initial value."""
    init, declared = as_tensor(start, f"init.{name}"), torch.as_tensor(block.init)
    if declared.ndim and init.shape != declared.shape:
        raise SettingError(f"init.{name} must have shape {list(declared.shape)} as space says, got {list(init.shape)}")
    return replace(block, init=init)


def as_tensor(value: Any, setting: str) -> Tensor:
    """Real numbers as a tensor. Raises SettingError, with the name of the setting, for any other value."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        found = torch.as_tensor(array.astype(np.int32) if array.dtype == np.uint16 else array)
    except (TypeError, ValueError):
        raise SettingError(f"{setting} must be numbers, got {type(value).__name__}") from None
    if found.is_complex():
        raise SettingError(f"{setting} must be real numbers, got complex ones")
    return found


def as_image(value: Any, setting: str) -> Tensor:
    """An image as a floating-point tensor. 8-bit and 16-bit unsigned integers are scaled to 0 … 1, others are not."""
    largest = {"uint8": 255.0, "uint16": 65535.0}.get(str(getattr(value, "dtype", "")).removeprefix("torch."), 1.0)
    values = as_tensor(value, setting)
    return values.double() / largest if largest > 1 or not values.is_floating_point() else values


def read_reference(reference: Any, linear: bool) -> Tensor:
    """The reference [C, H, W] float32, from numbers or an image file.

    linear: whether its values are linear radiance. Other values are display values: it warns if they are not in [0, 1].
    """
    if isinstance(reference, str | Path):
        try:
            reference = imageio.imread(reference)
        except (OSError, ValueError) as error:
            raise SettingError(f"reference must be a picture that can be read, got '{reference}' ({error})") from None
    image = channels_first(as_image(reference, "reference").float())
    if not linear and image.ndim >= 3 and (image.min() < 0 or image.max() > 1):
        warnings.warn(
            f"reference has values from {image.min():g} to {image.max():g}; "
            "pictures and PSNR expect 0 … 1 (for linear radiance, set linear=True)",
            stacklevel=2,
        )
    return image


def channels_first(image: Tensor) -> Tensor:
    """[H, W] -> [1, H, W]; [H, W, C] with C = 1, 3 or 4 -> [C, H, W]; any other shape is not changed."""
    if image.ndim == 2:
        return image[None]
    if image.ndim == 3 and image.shape[-1] in (1, 3, 4) and image.shape[0] not in (1, 3, 4):
        return image.permute(2, 0, 1).contiguous()
    return image


@dataclass(frozen=True)
class Calling:
    """How the function of the user is called.

    args, kwargs: further arguments, positional and by name.
    batched: each parameter has a leading dimension B.
    named: the blocks are keyword arguments; else x is the first argument.
    tensors: x is a tensor; else a NumPy array.
    scalar: x is one float.
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    batched: bool
    named: bool
    tensors: bool
    scalar: bool


class FunctionTask(Task):
    """A function of the user as a task: with a reference image, a known solution, or neither.

    render: the function; without reference and target it returns the loss.
    reference: an image or the path of an image file. target: the solution θ, whose render becomes the reference.
    args, kwargs, batched, named: see `Calling`.
    like: a value of the type that x gets: a tensor, a number for a float, or anything else for a NumPy array.
    workers: number of threads that call `render` at the same time.
    Raises SettingError for a setting of the wrong type.
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
        return self._render_in_threads(self.pool, x)

    def _render_in_threads(self, pool: ThreadPoolExecutor, x: Tensor) -> Tensor:
        """Images [B, ...] of x [B, n]. A call that raises gives NaN and is not repeated, unless all calls raise."""
        calls = [pool.submit(self._call, one) for one in x]
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
        """The returned value as images [(B,) C, H, W] float32, or as losses [(B)] float64. batch: B or None."""
        values = as_image(rendered, "the value that render returns").to(self.device)
        values = values.double() if values.ndim <= (batch is not None) else values.float()
        if batch is None:
            return channels_first(values)
        return torch.stack([channels_first(value) for value in values]) if len(values) else values

    def _call(self, x: Tensor) -> Any:
        if self.calling.named:
            named = {name: self._converted(value) for name, value in self.space.split(x).items()}
            return self.function(*self.calling.args, **named, **self.calling.kwargs)
        shape = self.space.shapes[0] if len(self.space.shapes) == 1 else x.shape[-1:]
        shaped = self._converted(x.reshape((*x.shape[:-1], *shape)))
        return self.function(shaped, *self.calling.args, **self.calling.kwargs)

    def _converted(self, x: Tensor) -> Any:
        if self.calling.scalar:
            return float(x)
        return x if self.calling.tensors else x.cpu().numpy()


def check_callable(render: Any, setting: str) -> None:
    """Raise SettingError unless `render` is callable with an argument."""
    if not callable(render):
        raise SettingError(f"{setting} must be a function, got {type(render).__name__}")
    try:
        takes = inspect.signature(render).parameters
    except (TypeError, ValueError):
        return  # a function in C without a signature
    if not takes:
        raise SettingError(f"{setting} must take the parameters as an argument, got a function without arguments")
