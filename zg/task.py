"""A task turns parameters θ into an image and says how wrong the image is.

A new task subclasses `Task`, makes its space and reference in `build`, and renders:

    class Disk(Task):
        def build(self):
            self.space = ParameterSpace(position=Block([0.3, 0.3], low=0, high=1))
            self.set_reference(self.render(torch.tensor([[0.7, 0.6]]))[0])

        def render(self, x):  # [B, 2] -> [B, 1, 32, 32]
            ...
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.losses import Loss, resolve_loss
from zg.seeding import make_generator
from zg.space import ParameterSpace


@dataclass(frozen=True)
class RunView:
    """What a task's picture may show of the run.

    method: its name. renders: counted so far. best_x [n], best_loss: the best counted render, in the user's units.
    path: the recommended x [n] that were measured along the way, where n is small. sigma: width of sampling, scaled
    units; 0 where the method has none. predict: x [B, n] in the user's units -> the surrogate's loss [B], or None.
    """

    method: str
    renders: int
    best_x: Tensor
    best_loss: float
    path: list[Tensor]
    sigma: float
    predict: Callable[[Tensor], Tensor | None]


class Task:
    """Space, reference, forward model and loss of one problem.

    Subclasses implement `build`, and `render` or `render_one`. θ₀ and the reference depend on (task, seed)
    alone, so the same seed is the same start for every method.
    """

    #: Whether two renders of the same parameters differ; then `render` takes a second argument, seeds [B].
    noisy: bool = False
    #: Whether images are linear radiance (shown through a tone curve) rather than display values.
    linear: bool = False
    space: ParameterSpace

    def __init__(self, loss: str | Loss = "mse") -> None:
        self.criterion = resolve_loss(loss)
        self.seed = 0
        self.device = torch.device("cpu")
        self.solution: Tensor | None = None
        #: Why the last render that is not finite failed, for renderers that know; the objective keeps it.
        self.last_error = ""
        self._reference: Tensor | None = None
        self._built = False

    # What a task implements

    def build(self) -> None:
        """Set `self.space`, call `set_reference`, and set `self.solution` [n] (user's units) if it is known.

        `self.seed` and `self.device` are set before.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement build")

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """x [B, n] in the user's units -> images [B, C, H, W], or losses [B] for a task without reference.

        The default loops over `render_one`. Noisy tasks are given seeds [B] (int64) too.
        """
        return torch.stack([self.render_one(*one) for one in zip(x, *seeds, strict=True)])

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        """x [n] in the user's units -> image [C, H, W]; for renderers that take one θ at a time."""
        raise NotImplementedError(f"{type(self).__name__} must implement render or render_one")

    def loss(self, images: Tensor, reference: Tensor | None) -> Tensor:
        """images [B, C, H, W] and the reference [C, H, W] -> [B]. Without a reference the render is the loss."""
        return images.double() if reference is None else self.criterion(images, reference)

    def regulariser(self, x: Tensor) -> Tensor | float:
        """x [B, n] in the user's units -> [B], added to the loss (already weighted)."""
        return 0.0

    def reference(self, i: int = 0) -> Tensor | None:
        """The reference [C, H, W] of iteration i: a pure function of (seed, i), on the task's device."""
        return self._reference

    def true_gradient(self, x: Tensor) -> Tensor | None:
        """The gradient [n] of the loss with respect to x [n], where the task knows it (for a logged cosine)."""
        return None

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        """Numbers of the task's own about one result: x [n] in the user's units and its image."""
        return {}

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor | None:
        """A picture [3, H, W] in [0, 1] of the present state, for panels and video; None for the default panel.

        x: [n] in the user's units, and its image. view: of the run, where there is one.
        """
        return None

    def film(self, x: Tensor) -> Iterable[Tensor] | None:
        """Pictures [3, H, W] of the result x [n] in motion, for `film.mp4`; None where nothing moves."""
        return None

    def close(self) -> None:
        """End what `build` started outside this process; a later `render` may start it again."""

    # What it inherits

    @property
    def chunk(self) -> int | None:
        """How many renders go into one call of `render`: one for `render_one`, else as many as there are (None).

        On a CPU None is then cut to what caches hold (`zg.objective.LARGE`), where θ is large.
        """
        return 1 if type(self).render is Task.render else None

    def set_reference(self, image: Tensor) -> None:
        """Fix one reference for all iterations. Raises SettingError if it is not finite."""
        if not image.isfinite().all():
            why = f": {self.last_error}" if self.last_error else ""
            raise SettingError(f"the reference of {type(self).__name__} must be finite{why}")
        self._reference = image.detach().to(self.device)

    def generator(self, *words: str) -> torch.Generator:
        """A CPU generator for the stream of that name: the same for every method under the same seed."""
        return make_generator(self.seed, "task", *words)

    def setup(self, device: torch.device | str | None = None) -> None:
        """Build once, on the device of the run (by default `self.device`)."""
        if self._built:
            return
        self.device = torch.device(device or self.device)
        self.build()
        self.space.to(self.device)
        self._built = True
