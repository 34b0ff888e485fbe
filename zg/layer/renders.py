"""The only door of a layer to its renderer: every render is counted, the budget is kept, and failed renders are NaN."""

import inspect
import math
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from zg.arrays import as_array, check_number
from zg.calling import Calling
from zg.errors import RenderError, SettingError, in_words, warn_user
from zg.images import as_image, channels_first
from zg.seeding import render_seeds
from zg.space import ParameterSpace
from zg.workers.pool import Function, Pool, PoolSettings, Result, Scene, open_pool

#: A function is called here, one call after another.
ALONE = PoolSettings(pool="threads")
#: Batches without a valid render, one after another, after which the renderer is taken to be broken.
MOST_BARREN = 10
#: Why a render without a value has failed.
NOTHING = "None in place of an image (is there a `return`?)"


class Renders:
    """Renders rows of θ, counts them, and refuses them where the budget is spent.

    renderer: a scene, or how a function is called. space: its bounds and units; None for θ as it is. max_renders: None
    is no limit. seed: of the renderer's noise.
    shape: of an image [...]; None before the first one. made, failed: number of renders. seconds: in the renderer.
    last_error: why the last failed render failed. barren: batches without a valid render, one after another.
    """

    def __init__(
        self,
        renderer: Scene | Calling,
        space: ParameterSpace | None,
        pool: PoolSettings,
        max_renders: int | None,
        seed: int,
    ) -> None:
        self.renderer, self.space, self.settings, self.seed = renderer, space, pool, seed
        self.max_renders = max_renders
        self.made = self.failed = 0
        self.seconds, self.last_error, self.barren = 0.0, "", 0
        self.shape: tuple[int, ...] | None = tuple(renderer.shape) if isinstance(renderer, Scene) else None
        self._pool: Pool | None = None

    @property
    def left(self) -> float:
        """Number of renders that the budget still has; math.inf without one."""
        return math.inf if self.max_renders is None else self.max_renders - self.made

    def check_left(self, wanted: int, what: str) -> None:
        """Raise SettingError if the budget has fewer renders left than are wanted."""
        if wanted > self.left:
            raise SettingError(
                f"max_renders must leave {wanted} renders for {what}, got {self.left} left of {self.max_renders}"
            )

    def __call__(self, theta: Tensor) -> Tensor:
        """θ [K, n] in scaled units -> images [K, D], of its type and on its device; NaN for failed renders.

        Raises SettingError for images of different shapes, and what the renderer raised if the first batch fails whole.
        """
        if not len(theta):
            return theta.new_zeros(0, math.prod(self.shape or (0,)))
        self.check_left(len(theta), f"a batch of {len(theta)}")
        x = theta.detach().cpu().double()
        x = x if self.space is None else self.space.to_user(x.to(self.space.dtype)).double()
        start = perf_counter()
        results = self._run(x)
        self.seconds += perf_counter() - start
        self.made += len(results)
        found = [None if result.error else self._image(result.image) for result in results]
        errors = [result.error for result in results if result.error]
        if self.shape is None:
            raise errors[0] if errors else SettingError(f"render must return an image, got {NOTHING}")
        failed = torch.full(self.shape, math.nan, dtype=theta.dtype)
        images = torch.stack([failed if image is None else image.to(theta.dtype) for image in found]).reshape(
            len(x), -1
        )
        valid = images.isfinite().all(-1)
        self.failed += int((~valid).sum())
        missing = any(result.image is None and not result.error for result in results)
        self.last_error = in_words(errors[-1]) if errors else NOTHING if missing else self.last_error
        self._notice(len(x), bool(valid.any()))
        return images.to(theta.device)

    def _notice(self, count: int, any_valid: bool) -> None:
        """Warn of a batch without a valid render, and raise RenderError after too many of them in a row."""
        self.barren = 0 if any_valid else self.barren + 1
        if any_valid:
            return
        why = self.last_error or "an image with values that are not finite"
        if self.barren >= MOST_BARREN:
            raise RenderError(f"all renders of {self.barren} batches in a row have failed, the last with {why}")
        warn_user(f"all {count} renders of a batch have failed, the last with {why}: the batch is not used")

    def _image(self, value: Any) -> Tensor | None:
        """What the renderer returned as [C, H, W], or of another shape as it is. None is a failed render."""
        if value is None:
            return None
        image = channels_first(as_image(value, "the value that render returns"))
        if image.ndim == 0:
            check_number(as_array(value, "the value"), "the value that render returns")
        self.shape = tuple(image.shape) if self.shape is None else self.shape
        if tuple(image.shape) != self.shape:
            raise SettingError(f"render must return one shape, got {list(image.shape)} after {list(self.shape)}")
        return image

    def _run(self, x: Tensor) -> list[Result]:
        """The results of x [K, n] in the user's units, in their order."""
        if isinstance(self.renderer, Calling) and self.renderer.batched:
            return self._together(self.renderer, x)
        if isinstance(self.renderer, Calling) and self.settings == ALONE:
            return [self._alone(self.renderer, one) for one in x]
        return self._opened().run(x.numpy(), render_seeds(self.seed, self.made, len(x)).numpy())

    @torch.enable_grad()
    def _alone(self, call: Calling, x: Tensor) -> Result:
        """The result of x [n], rendered here; the function may use PyTorch's autograd."""
        try:
            return Result(0, call(x))
        except (Exception, SystemExit) as error:
            return Result(0, None, error)

    @torch.enable_grad()
    def _together(self, call: Calling, x: Tensor) -> list[Result]:
        """The results of x [K, n] in one call. After an exception each row is rendered alone."""
        try:
            returned = call(x)
            if returned is None:
                raise SettingError(f"a batched render must return {len(x)} images for {len(x)} rows, got {NOTHING}")
            images = as_image(returned, "the value that render returns")
        except SettingError:
            raise
        except (Exception, SystemExit) as error:
            if len(x) == 1:
                return [Result(0, None, error)]
            return [result for one in x for result in self._together(call, one[None])]
        if images.ndim == 0 or len(images) != len(x):
            raise SettingError(f"a batched render must return {len(x)} images for {len(x)} rows, got {images.shape}")
        return [Result(0, image.numpy()) for image in images]

    def _opened(self) -> Pool:
        """The pool; its workers start with the first render."""
        if self._pool is None:
            renderer: Scene | Function
            if isinstance(self.renderer, Scene):
                renderer = self.renderer
            else:
                code = getattr(inspect.unwrap(self.renderer.function), "__code__", None)
                name = getattr(self.renderer.function, "__qualname__", "render")
                renderer = Function(self.renderer, name, code.co_filename if code else "")
            self._pool = open_pool(renderer, self.settings)
        return self._pool

    def close(self) -> None:
        """End the workers. The next render starts them again."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or a pickle, opens workers of its own."""
        return {**vars(self), "_pool": None}

    def state(self) -> dict[str, Any]:
        """The counts and the shape of an image."""
        counts = {"made": self.made, "failed": self.failed, "barren": self.barren}
        return {**counts, "seconds": self.seconds, "shape": self.shape}

    def load(self, made: int, failed: int, barren: int, seconds: float, shape: tuple[int, ...] | None) -> None:
        """Go on from a state."""
        self.made, self.failed, self.barren, self.seconds = made, failed, barren, seconds
        self.shape = None if shape is None else tuple(shape)
