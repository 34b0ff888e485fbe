"""A task turns parameters into an image, and computes the loss of the image.

A new task subclasses `Task`. It makes its parameter space and its reference in `build`, and it renders:

    class Disk(Task):
        def build(self):
            self.space = ParameterSpace(position=Block([0.3, 0.3], low=0, high=1))
            self.set_reference(self.render(torch.tensor([[0.7, 0.6]]))[0])

        def render(self, x):  # [B, 2] -> [B, 1, 32, 32]
            ...
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zg.calling import Argument, divided
from zg.errors import SettingError
from zg.losses import LOSSES, Losses, resolve_loss
from zg.seeding import make_generator
from zg.space import ParameterSpace
from zg.workers.devices import Shards, parse_devices
from zg.workers.pool import Function, Pool, PoolSettings, Result, Scene, open_pool

# Bytes of the images that a pool renders in one call of `render_in_pool`: their losses are computed after it.
BATCH_BYTES = 2**28


@dataclass(frozen=True)
class RunView:
    """The state of a run, for the picture of a task.

    method: name of its class. renders: number of counted renders.
    best_x, best_loss: x [n] (user's units) with the lowest counted loss, and this loss.
    path: the recommended x [n] (user's units) that were measured so far; empty if n is large.
    sigma: width σ of the sampling Gaussian in scaled units; 0 if the method has none.
    predict: x [B, n] in the user's units -> the loss [B] that the surrogate predicts, or None without a surrogate.
    """

    method: str
    renders: int
    best_x: Tensor
    best_loss: float
    path: list[Tensor]
    sigma: float
    predict: Callable[[Tensor], Tensor | None]


class Task:
    """Parameter space, reference, forward model and loss of one problem.

    Subclasses implement `build`, and either `render` or `render_one`. The initial θ₀ and the reference depend only on
    the task and the seed, so that with the same seed every method starts at the same point.

    loss: mse, scale_independent, relative_mse or multiscale, a function (images [B, ...], reference [...]) -> [B], or
        several of them with weights (`zg.losses.resolve_loss`).

    >>> import torch
    >>> import zg
    >>> class Grey(zg.Task):
    ...     def build(self):
    ...         self.space = zg.ParameterSpace(grey=zg.Block(0.2, low=0, high=1))
    ...         self.set_reference(self.render(torch.tensor([[0.6]]))[0])
    ...
    ...     def render(self, x):  # [B, 1] -> [B, 1, 4, 4]
    ...         return x[:, :, None, None].expand(-1, 1, 4, 4).float()
    >>> task = Grey()
    >>> task.setup()
    >>> task.loss(task.render(torch.tensor([[0.6], [1.0]])), task.reference()).round(decimals=2).tolist()
    [0.0, 0.16]
    """

    #: Whether two renders of the same parameters differ. Then `render` gets a second argument, seeds [B] (int64).
    noisy: bool = False
    #: Whether images are linear radiance. Pictures then show them through the sRGB curve.
    linear: bool = False
    #: Whether `violations` has constraints to be met.
    constrained: bool = False
    space: ParameterSpace

    def __init__(self, loss: Losses = "mse") -> None:
        self.criterion = resolve_loss(loss)
        self.seed = 0
        self.device = torch.device("cpu")
        self.solution: Tensor | None = None
        #: Error message of a render that returned NaN, for renderers that have one. The objective reads and clears it.
        self.last_error = ""
        #: Where the objective has renders made; None: by `render`, in this process.
        self.pool: PoolSettings | None = None
        #: The workers, once there are some.
        self.workers: Pool | None = None
        #: Where batches are rendered in parts side by side; the first is `device`. Empty: on `device` alone.
        self.devices: tuple[torch.device, ...] = ()
        self.shards: Shards | None = None
        self._reference: Tensor | None = None
        self._built = False

    # To be implemented by a task

    def build(self) -> None:
        """Set `self.space`, call `set_reference`, and set `self.solution` [n] (user's units) if it is known.

        `self.seed` and `self.device` are already set. A task without reference does not call `set_reference`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement build")

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """x [B, n] in the user's units -> images [B, C, H, W], or losses [B] for a task without reference.

        With V views, the images are [B, V, C, H, W]. The default calls `render_one` for each x.

        seeds: [B] int64, given to noisy tasks only.
        """
        return torch.stack([self.render_one(*one) for one in zip(x, *seeds, strict=True)])

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        """x [n] in the user's units -> image [C, H, W]; for renderers that render one image at a time."""
        raise NotImplementedError(f"{type(self).__name__} must implement render or render_one")

    def loss(self, images: Tensor, reference: Tensor | None) -> Tensor:
        """images [B, C, H, W], reference [C, H, W] -> losses [B].

        Without a reference, `images` are the losses [B]; or several losses [B, m], of which `criterion` makes one.
        """
        return images if reference is None and images.ndim == 1 else self.criterion(images, reference)

    def regulariser(self, x: Tensor) -> Tensor | float:
        """x [B, n] in the user's units -> [B] or a number, added to the loss; already weighted."""
        return 0.0

    def render_shape(self, i: int = 0) -> tuple[int, ...]:
        """The shape of one render of iteration i: that of the reference, or () where renders are losses."""
        reference = self.reference(i)
        return () if reference is None else tuple(reference.shape)

    @property
    def is_regularised(self) -> bool:
        """Whether something is added to the loss."""
        return type(self).regulariser is not Task.regulariser

    @property
    def least_loss(self) -> float:
        """The lowest loss that is possible; minus infinity where that is not known.

        It is 0 where a reference is compared by one of `LOSSES`, nothing is added, and renders have no noise.
        """
        is_named = type(self).loss is Task.loss and self.criterion in LOSSES.values()
        has_more = self.is_regularised or self.constrained or self.noisy
        return 0.0 if is_named and self._reference is not None and not has_more else -math.inf

    def violations(self, x: Tensor) -> Tensor:
        """x [B, n] in the user's units -> g [B, m] of the constraints g ≤ 0, for a task that is `constrained`."""
        raise NotImplementedError(f"{type(self).__name__} must implement violations, as it is constrained")

    def reference(self, i: int = 0) -> Tensor | None:
        """The reference [C, H, W] of iteration i, on the device of the task. It depends only on the seed and i."""
        return self._reference

    def true_gradient(self, x: Tensor) -> Tensor | None:
        """The gradient [n] of the loss at x [n] (user's units) if the task knows it; for the log."""
        return None

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        """Metrics of the task's own, by name, for x [n] in the user's units and its image."""
        return {}

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor | None:
        """A picture [3, H, W] in [0, 1] for the panel and the video; None for the default panel.

        x: the recommended x [n] in the user's units. image: its render. view: the state of the run, if there is a run.
        """
        return None

    def params(self, x: Tensor) -> dict[str, Any]:
        """x [n] in the user's units as `Result.params`: each block by name, in its shape; integers as integers."""
        return params_of(self.space, x)

    def as_given(self, image: Tensor) -> Any:
        """An image [C, H, W] as `Result.image`: of the type and with the axes that the user's renderer returns."""
        return image.cpu()

    def film(self, x: Tensor) -> Iterable[Tensor] | None:
        """Frames [3, H, W] in [0, 1] of an animation of the result x [n] (user's units), for `film.mp4`; or None."""
        return None

    def for_workers(self) -> Scene | Function:
        """What a worker needs to render one x. By default the task itself, built again in each worker."""
        return Function(_TaskRenderer(self, self._unbuilt), type(self).__name__)

    def images_of(self, results: Sequence[Result]) -> Tensor:
        """Images [B, C, H, W], or losses [B], of results of the pool; failed ones are NaN."""
        assert self.workers is not None
        shape = self.workers.shape or self.render_shape()
        images = torch.full((len(results), *shape), torch.nan, dtype=torch.float32 if shape else torch.float64)
        for image, result in zip(images, results, strict=True):
            if result.image is not None:
                image.copy_(torch.as_tensor(result.image))
        return images.to(self.device)

    # Inherited by a task

    def close(self) -> None:
        """End the workers. A later render starts them again."""
        for ended in (self.workers, self.shards):
            if ended is not None:
                ended.close()

    def use_pool(self, **settings: Any) -> None:
        """Have renders made in a pool. Call it before `setup`. settings: of `PoolSettings`; others stay as they are."""
        self.pool = replace(self.pool or PoolSettings(), **settings)

    def use_devices(self, devices: str | Sequence[str]) -> None:
        """Render each batch in parts, one on each of these devices, side by side. Call it before `setup`.

        Method and loss are on the first. devices: as in `zg.workers.devices.parse_devices`. Raises SettingError for
        more than one device where `render` is called with one x at a time.
        """
        found = parse_devices(devices)
        if len(found) > 1 and (self.pool is not None or type(self).render is Task.render):
            raise SettingError(
                f"devices must be one device for {type(self).__name__}, which renders one x at a time, in workers if "
                f"there are some; got {len(found)}"
            )
        self.devices, self.device = found, found[0]

    @property
    def parallel(self) -> int:
        """Number of renders that run side by side."""
        return 1 if self.pool is None else self.pool.workers

    def render_batch(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """What the objective calls: `render` here, on several devices or in the workers of the pool."""
        if self.pool is not None:
            return self.render_in_pool(x, *seeds)
        return self.render(x, *seeds) if self.shards is None else self.shards.render(x, *seeds)

    def render_in_pool(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """As `render`, by the workers; each gets one x at a time. `last_error` says why a render failed."""
        workers = self.opened_pool()
        results = workers.run(x.cpu().numpy(), *(seed.tolist() for seed in seeds))
        if workers.errors:
            self.last_error = workers.errors[-1]
        return self.images_of(results)

    def opened_pool(self) -> Pool:
        """The workers. Raises SettingError where there is no pool."""
        if self.pool is None:
            raise SettingError(f"{type(self).__name__} must have a pool: set workers")
        self.workers = self.workers or open_pool(self.for_workers(), self.pool)
        return self.workers

    @property
    def chunk(self) -> int | None:
        """Most renders in one call of `render_batch`. None: the whole batch, on a CPU limited by `zg.objective.LARGE`.

        The default is 1 for a task with `render_one`; with a pool, a multiple of its workers whose images fit into
        `BATCH_BYTES`; else None.
        """
        if self.pool is not None:
            reference = self.reference()
            size = 8 if reference is None else 4 * reference.numel()
            return self.pool.workers * max(1, BATCH_BYTES // (size * self.pool.workers))
        return 1 if type(self).render is Task.render else None

    def set_reference(self, image: Tensor) -> None:
        """Set the reference [C, H, W] of all iterations. Raises SettingError if it is not finite."""
        wrong = int((~image.isfinite()).sum())
        if wrong:
            why = (
                f": {self.last_error}"
                if self.last_error
                else f", got NaN or infinity in {wrong} of {image.numel()} numbers"
            )
            raise SettingError(f"the reference of {type(self).__name__} must be finite{why}")
        self._reference = image.detach().to(self.device)

    def generator(self, *words: str) -> torch.Generator:
        """A CPU generator for the stream named `words`. It depends only on the seed and `words`."""
        return make_generator(self.seed, "task", *words)

    def setup(self, device: torch.device | str | None = None) -> None:
        """Build the task on a device, by default `self.device`, or on those of `use_devices`.

        A second call does nothing.
        """
        if self._built:
            return
        self.device = self.devices[0] if self.devices else torch.device(device or self.device)
        self._unbuilt = copy.copy(self)
        self.build()
        self.space.to(self.device)
        self._built = True
        if len(self.devices) > 1:
            self.shards = Shards(self.devices, [self, *map(self._twin, self.devices[1:])])

    def _twin(self, device: torch.device) -> "Task":
        """The same task, built on another device."""
        twin = copy.copy(self._unbuilt)
        twin.devices, twin.device = (), device
        twin.setup()
        return twin


class _TaskRenderer:
    """Renders one x of a task. In another process, the task is one that is not built yet, and is built there."""

    def __init__(self, task: Task, unbuilt: Task) -> None:
        self.task, self.unbuilt = task, unbuilt

    def __reduce__(self) -> Any:
        return _TaskRenderer, (self.unbuilt, self.unbuilt)

    @torch.no_grad()
    def __call__(self, x: Any, seed: int) -> Any:
        self.task.setup("cpu" if self.task is self.unbuilt else None)
        one = torch.as_tensor(x)[None].to(self.task.space.init)
        seeds = [torch.tensor([seed])] if self.task.noisy else []
        return self.task.render(one, *seeds)[0]


def params_of(space: ParameterSpace, x: Tensor) -> dict[str, Any]:
    """x [n] in the user's units as {name of block: a copy in its shape}; whole ones as integers, choices as choices."""
    return {block.name: _param(block, part) for block, part in divided(x.cpu(), space.arguments)}


def _param(block: Argument, part: Tensor) -> Any:
    if block.choices is not None:
        return block.choice(part.numpy())
    return part.to(torch.int64) if block.is_whole else part.clone()
