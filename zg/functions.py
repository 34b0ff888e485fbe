"""A task made of a function of the user, for `zg.optimize` and `zg.minimize`."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zg.errors import SettingError, check_switch, check_whole
from zg.images import as_image, as_numbers, channels_first, mismatch, read_reference
from zg.losses import Loss
from zg.problem import ImageLoss
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
        return ParameterSpace({name: Block(as_numbers(value, f"init.{name}")) for name, value in init.items()})
    else:
        return ParameterSpace(x=Block(as_numbers(init, "init")))
    if not blocks or not all(isinstance(block, Block) for block in blocks.values()):
        raise SettingError(f"space must have a Block for each name, got {space!r}")
    if init is None:
        return space if isinstance(space, ParameterSpace) else ParameterSpace(blocks)
    starts = init if isinstance(init, Mapping) else {next(iter(blocks)): init}
    if starts.keys() != blocks.keys():
        raise SettingError(f"init must name the blocks of space, {list(blocks)}, got {list(starts)}")
    return ParameterSpace({name: _with_init(name, block, starts[name]) for name, block in blocks.items()})


def _with_init(name: str, block: Block, start: Values) -> Block:
    """The block with another initial value."""
    init, declared = as_numbers(start, f"init.{name}"), torch.as_tensor(block.init)
    if declared.ndim and init.shape != declared.shape:
        raise SettingError(f"init.{name} must have shape {list(declared.shape)} as space says, got {list(init.shape)}")
    return replace(block, init=init)


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
        check_switch(batched=batched, linear=linear)
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
        self._pool: ThreadPoolExecutor | None = None

    def build(self) -> None:
        if self.target is not None:
            self.solution = make_space(self.target, None).init.to(torch.float64)
            if self.solution.numel() != self.space.n:
                raise SettingError(f"target must have {self.space.n} values as init does, got {self.solution.numel()}")
            picture = self.render(self.solution[None].to(self.space.dtype))[0]
            if picture.ndim == 0:
                raise SettingError("target needs a render that returns pictures, got one that returns a number")
            self.set_reference(picture)
        elif self.raw_reference is not None:
            self.set_reference(read_reference(self.raw_reference, self.linear))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        if self.calling.batched:
            return self.image(self._call(x), len(x))
        if self.workers == 1:
            return torch.stack([self.image(self._call(one), None) for one in x])
        self._pool = self._pool or ThreadPoolExecutor(self.workers)
        return self._render_in_threads(self._pool, x)

    def close(self) -> None:
        """End the threads; a later render starts them again."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

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
        """The returned value as images [(B,) C, H, W] float32, or as losses [(B)] float64. batch: B or None.

        None is a failed render: NaN.
        """
        reference = self.reference()
        if rendered is None and batch is None:
            shape = () if reference is None else reference.shape
            return torch.full(shape, math.nan, device=self.device, dtype=torch.float32 if shape else torch.float64)
        values = as_image(rendered, "the value that render returns").to(self.device)
        is_loss = reference is None and values.numel() == (1 if batch is None else batch)
        if is_loss:
            return values.double().reshape(() if batch is None else (batch,))
        if batch is None:
            return channels_first(values.float())
        return torch.stack([channels_first(value) for value in values.float()]) if len(values) else values

    @torch.enable_grad()
    def _call(self, x: Tensor) -> Any:
        """Call the function with a copy of its own; it may use PyTorch's autograd."""
        if self.calling.named:
            blocks = self.space.split(x).items()
            named = {name: self._converted(value, self.space.blocks[name]) for name, value in blocks}
            return self.function(*self.calling.args, **named, **self.calling.kwargs)
        shape = self.space.shapes[0] if len(self.space.shapes) == 1 else x.shape[-1:]
        block = next(iter(self.space.blocks.values())) if len(self.space.shapes) == 1 else None
        shaped = self._converted(x.reshape((*x.shape[:-1], *shape)), block)
        return self.function(shaped, *self.calling.args, **self.calling.kwargs)

    def _converted(self, x: Tensor, block: Block | None) -> Any:
        """A copy as the user's function gets it: integers and binaries as integers, one number as a scalar."""
        is_whole = block is not None and block.kind != "real"
        if self.calling.scalar:
            return int(x) if is_whole else float(x)
        if self.calling.tensors:
            return x.to(torch.int64) if is_whole else x.clone()
        array = x.cpu().numpy()
        return array.astype(np.int64)[()] if is_whole else array.copy()[()]


class Judge:
    """The losses of images that the caller has rendered, by a reference."""

    def __init__(
        self,
        space: ParameterSpace,
        reference: Any,
        loss: str | Loss,
        regulariser: Callable[[Tensor], Tensor] | None,
        linear: bool,
    ) -> None:
        task = FunctionTask(
            lambda x: None, space, reference=reference, loss=loss, regulariser=regulariser, linear=linear
        )
        task.setup(space.init.device)
        self.task, self.image_loss = task, ImageLoss(task.loss, task.regulariser)
        reference_image = task.reference()
        assert reference_image is not None
        self.reference = reference_image

    @torch.no_grad()
    def evaluate(self, x: Tensor, images: Any) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] and their losses [B] at x [B, n] in the user's units; NaN for None, a failed render."""
        rendered = [self.task.image(image, None) for image in images]
        if len(rendered) != len(x):
            raise SettingError(f"images must be {len(x)}, one for each x, got {len(rendered)}")
        for image in rendered:
            if image.shape != self.reference.shape:
                why = mismatch(image.shape, self.reference.shape)
                wanted, got = list(self.reference.shape), list(image.shape)
                raise SettingError(f"images must have the shape {wanted} of the reference, got {got}: {why}")
        stacked = torch.stack(rendered)
        return stacked, self.image_loss.of_images(stacked, self.reference).double() + self.image_loss.regulariser(x)


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
