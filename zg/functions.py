"""A task made of a function of the user, for `zg.optimize` and `zg.minimize`."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zg.arrays import as_array, check_number
from zg.calling import Calling, in_order
from zg.errors import SettingError, check_switch
from zg.images import as_image, as_numbers, channels_first, mismatch, read_reference
from zg.losses import Losses, Weighted, checked_losses, returned_losses
from zg.problem import ImageLoss
from zg.space import ParameterSpace
from zg.spaces import Init, solution_of
from zg.task import Task
from zg.workers.pool import Function, Pool, PoolSettings, Result

#: A function is called here, one call after another.
ALONE = PoolSettings(pool="threads")


class FunctionTask(Task):
    """A function of the user as a task: with a reference image, a known solution, or neither.

    render: the function; without reference and target it returns the loss, or several by name if `loss` has weights.
    reference: an image or the path of an image file. target: the solution θ, whose render becomes the reference.
    args, kwargs, batched, named: see `zg.calling.Calling`.
    like: a value of the type that x gets: a tensor, a number for a float, or anything else for a NumPy array.
    constraints: a function of the same arguments as `render` -> g, a number or m numbers; x is feasible where all are
        ≤ 0. It is called here, once for each render.
    pool: where `render` is called, and how many times side by side; by default here, one call after another.
    Raises SettingError for a setting of the wrong type.
    """

    def __init__(
        self,
        render: Callable[..., Any],
        space: ParameterSpace,
        *,
        reference: Any = None,
        target: Init | None = None,
        loss: Losses = "mse",
        regulariser: Callable[[Tensor], Tensor] | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        batched: bool = False,
        named: bool = False,
        like: Any = None,
        linear: bool = False,
        pool: PoolSettings = ALONE,
        constraints: Callable[..., Any] | None = None,
    ) -> None:
        weights = loss if isinstance(loss, Mapping) and reference is None and target is None else {}
        super().__init__(returned_losses(weights) if weights else loss)
        check_switch(batched=batched, linear=linear)
        if regulariser is not None and not callable(regulariser):
            raise SettingError(f"regulariser must be a function, got {type(regulariser).__name__}")
        if isinstance(args, str) or not isinstance(args, Sequence):
            raise SettingError(f"args must be a list of arguments, got {args!r}")
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise SettingError(f"kwargs must be arguments by name, got {kwargs!r}")
        self.function, self.space, self.raw_reference, self.target = render, space, reference, target
        self.penalty, self.linear, self.pool = regulariser, linear, pool
        is_number = not named and not batched and isinstance(like, int | float)
        kind: Any = "number" if is_number else "tensor" if isinstance(like, Tensor) else "array"
        dtype = str(space.dtype).removeprefix("torch.")
        names = tuple(weights)
        self.calling = Calling(render, args, dict(kwargs or {}), space.arguments, dtype, batched, named, kind, names)
        self.constrained = constraints is not None
        self.constraints = None if constraints is None else replace(self.calling, function=constraints, losses=())
        self._has_rendered = False
        #: Calls of the function in this process, for messages.
        self._calls = 0
        #: Axes of the pictures that the function returns, 2 for [H, W]; whether their colours are last.
        self._layout = 3, False
        self._check_pool()

    def build(self) -> None:
        if self.target is not None:
            self.solution = solution_of(self.target, self.space)
            picture = self.render(self.solution[None].to(self.space.dtype))[0]
            if picture.ndim == 0 and not picture.isnan():
                raise SettingError("target needs a render that returns pictures, got one that returns a number")
            if not picture.isfinite().all():
                why = self.last_error or "NaN or infinity in its render"
                raise SettingError(f"target must have a picture that is finite, got {why}")
            self.set_reference(picture)
        elif self.raw_reference is not None:
            self.set_reference(read_reference(self.raw_reference, self.linear))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        if self.calling.batched:
            return self._checked(self._call(x), len(x))
        if self.pool == ALONE:
            return torch.stack([self._checked(self._call(one)) for one in x])
        return self.render_in_pool(x)

    def use_pool(self, **settings: Any) -> None:
        super().use_pool(**settings)
        self._check_pool()

    def _check_pool(self) -> None:
        if self.calling.batched and self.pool is not None and self.pool.pool != "threads":
            raise SettingError(f"batched gives all x to one call, so pool must be threads, got {self.pool.pool}")

    def render_batch(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.render(x)

    def opened_pool(self) -> Pool:
        if self.calling.batched:
            raise SettingError("asynchronous needs a function that is called with one x, and batched gives it many")
        return super().opened_pool()

    @torch.enable_grad()
    def _call(self, x: Tensor) -> Any:
        """Call the function here; it may use PyTorch's autograd."""
        self._calls += 1
        return self.calling(x)

    def for_workers(self) -> Function:
        function = self.function
        code = getattr(inspect.unwrap(function), "__code__", None)
        return Function(self.calling, getattr(function, "__qualname__", "render"), code.co_filename if code else "")

    def images_of(self, results: Sequence[Result]) -> Tensor:
        """Images [B, ...] of results. A call that raises gives NaN, unless all calls of the run so far have raised."""
        images = []
        for result in results:
            self._calls += 1
            images.append(None if result.error else self._checked(result.image))
        some = next((image for image in images if image is not None), None)
        if some is None and not self._has_rendered:
            raise next(result.error for result in results if result.error)
        self._has_rendered = True
        failed = self.image(None, None) if some is None else torch.full_like(some, math.nan)
        return torch.stack([failed if image is None else image for image in images])

    @property
    def chunk(self) -> int | None:
        return None if self.calling.batched else 1 if self.pool == ALONE else super().chunk

    @property
    def is_regularised(self) -> bool:
        return self.penalty is not None

    def render_shape(self, i: int = 0) -> tuple[int, ...]:
        return (len(self.calling.losses),) if self.calling.losses else super().render_shape(i)

    def regulariser(self, x: Tensor) -> Tensor | float:
        return 0.0 if self.penalty is None else self.penalty(x)

    def violations(self, x: Tensor) -> Tensor:
        assert self.constraints is not None
        return violations_of(self.constraints, x, self.calling.batched).to(self.device)

    def _checked(self, returned: Any, batch: int | None = None) -> Tensor:
        """As `image`, of what the last call returned. Raises SettingError for a wrong type or shape, with the call."""
        name = getattr(self.function, "__name__", "")
        call = f"call {self._calls} of {name if name.isidentifier() else 'the function'}"
        if returned is None and batch is None:
            self.last_error = self.last_error or f"None in place of {self._wanted} (is there a `return`?)"
        image = self.image(returned, batch, f"what {call} returned")
        expected = (*(() if batch is None else (batch,)), *self.render_shape())
        if not self._built or tuple(image.shape) == expected:  # before, the target is rendered
            return image
        reference = self.reference()
        if reference is None:
            why = "there is no reference or target that a picture could be compared with"
        else:
            why = mismatch(image.shape, expected) if image.ndim > 2 else "there is a reference or a target"
        each = "" if batch is None else f"{batch} times "
        got = "one number" if image.ndim == 0 else f"shape {list(as_numbers(returned, 'images').shape)}"
        raise SettingError(f"{call} must return {each}{self._wanted}, got {got}: {why}")

    @property
    def _wanted(self) -> str:
        """What one call has to return, in words."""
        reference = self.reference()
        if reference is None:
            return "one number" if self.target is None else "a picture"
        return (
            f"a picture of {reference.shape[-1]} × {reference.shape[-2]} pixels" if reference.ndim > 1 else "a picture"
        )

    def image(self, rendered: Any, batch: int | None, what: str = "an image") -> Tensor:
        """The returned value as images [(B,) C, H, W] float32, or as losses [(B,)] or [(B,) m] float64.

        batch: B or None. None as a value is a failed render: NaN. what: it is, for messages.
        """
        reference = self.reference()
        if rendered is None and batch is None:
            dtype = torch.float64 if reference is None else torch.float32
            return torch.full(self.render_shape(), math.nan, device=self.device, dtype=dtype)
        if isinstance(rendered, Mapping):
            names = ", ".join(f"{str(name)!r}: 1.0" for name in rendered)
            raise SettingError(f"losses by name need weights: loss={{{names}}}")
        values = as_image(rendered, what).to(self.device)
        if self.calling.losses:
            return values.double()
        is_loss = reference is None and values.numel() == (1 if batch is None else batch)
        if is_loss:
            check_number(as_array(rendered, what), what)
            return values.double().reshape(() if batch is None else (batch,))
        if batch is None:
            return self._channels_first(values.float())
        return torch.stack([self._channels_first(value) for value in values.float()]) if len(values) else values

    def _channels_first(self, picture: Tensor) -> Tensor:
        image = channels_first(picture)
        self._layout = picture.ndim, picture.ndim == 3 and image.shape != picture.shape
        return image

    def params(self, x: Tensor) -> dict[str, Any]:
        named = self.calling.by_name(x.cpu())
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in named.items()}

    def as_given(self, image: Tensor) -> Any:
        axes, are_colours_last = self._layout
        image = image[0] if axes == 2 and image.ndim == 3 else image
        image = image.permute(1, 2, 0) if are_colours_last else image
        return image.cpu() if self.calling.kind == "tensor" else image.cpu().numpy()


def violations_of(constraints: Callable[..., Any], x: Tensor, batched: bool = False) -> Tensor:
    """g [B, m] float64 of a function of the user at x [B, n] in the user's units. batched: it takes all x at once."""
    if batched:
        rows = _values(constraints(x)).double().reshape(len(x), -1)
    else:
        told = [_values(constraints(one)) for one in x]
        if len({one.numel() for one in told}) > 1:
            raise SettingError("constraints must return the same number of values for every x")
        rows = torch.stack([one.double().reshape(-1) for one in told])
    if rows.shape[1] == 0:
        raise SettingError("constraints must return one value or more, got none")
    return rows


def _values(returned: Any) -> Tensor:
    """What constraints return, as numbers. Raises SettingError for truths, of which True would count as violated."""
    values = as_numbers(returned, "the value that constraints returns")
    if values.dtype == torch.bool:
        raise SettingError("constraints must return g, a number that is ≤ 0 where x is feasible, got True or False")
    return values


class Judge:
    """The losses of what a caller who renders tells: images, by a reference; else losses, or several by name.

    like: the start that the caller gave, if any, whose type `task.params` follows.
    """

    def __init__(
        self,
        space: ParameterSpace,
        reference: Any,
        loss: Losses,
        regulariser: Callable[[Tensor], Tensor] | None,
        linear: bool,
        like: Any = None,
    ) -> None:
        task = FunctionTask(
            lambda x: None,
            space,
            reference=reference,
            loss=loss,
            regulariser=regulariser,
            linear=linear,
            named=isinstance(like, Mapping) or len(space.blocks) > 1,
            like=one_value(like),
        )
        task.setup(space.init.device)
        self.task, self.reference = task, task.reference()
        self.image_loss = None if self.reference is None else ImageLoss(task.loss, task.regulariser)

    def of_names(self, told: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Losses by name [B, m] and their sums [B]; NaN for None, a failed render."""
        names = self.task.calling.losses
        rows = torch.stack([self.task.image(in_order(one, names), None) for one in told])
        return rows, self.task.loss(rows, None)

    @property
    def takes_names(self) -> bool:
        """Whether losses are told by name."""
        return bool(self.task.calling.losses)

    def each(self, told: Tensor) -> dict[str, float]:
        """Each of several losses of what was told of one x: its image, or its losses [m]; without weights."""
        criterion = self.task.criterion
        return criterion.each(told, self.reference) if isinstance(criterion, Weighted) else {}

    @torch.no_grad()
    def evaluate(self, x: Tensor, images: Any) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] and their losses [B] at x [B, n] in the user's units; NaN for None, a failed render."""
        if self.reference is None or self.image_loss is None:
            raise SettingError("images need the reference of Optimizer to be compared with; there is none")
        rendered = [self.task.image(image, None) for image in images]
        if len(rendered) != len(x):
            raise SettingError(f"images must be {len(x)}, one for each x, got {len(rendered)}")
        for image in rendered:
            if image.shape != self.reference.shape:
                why = mismatch(image.shape, self.reference.shape)
                wanted, got = list(self.reference.shape), list(image.shape)
                raise SettingError(f"images must have the shape {wanted} of the reference, got {got}: {why}")
        stacked = torch.stack(rendered)
        losses = checked_losses(self.image_loss.of_images(stacked, self.reference), len(stacked))
        return stacked, losses + self.image_loss.regulariser(x)


def one_value(like: Any) -> Any:
    """A value whose type x gets: the start that was given, or the first one of it by name."""
    return next(iter(like.values())) if isinstance(like, Mapping) and like else like


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
