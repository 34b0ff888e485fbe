"""A black box as a layer of a network: `images = layer(x)`, with a gradient that needs no derivative of the renderer.

    loss ◀─ … ◀─ images [B, …] ◀─ Layer: render each row ◀─ x [B, n] ◀─ any network
             v = ∂L/∂images ─▶ estimator: 2 · pairs renders a row ─▶ vᵀ ∂images/∂x, smoothed

The loss and the network have their own derivatives, so all that is estimated is a vector–Jacobian product.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from zg.calling import Calling
from zg.errors import SettingError, check_switch, check_whole, nearest
from zg.functions import check_callable
from zg.layer.calibration import RENDERS, SPARED, START
from zg.layer.draws import Kind
from zg.layer.estimator import Estimator, Sampling
from zg.layer.jacobian import Jacobians
from zg.layer.learner import Learner, SurrogateSettings
from zg.layer.regions import JacobianSettings
from zg.layer.renders import Renders
from zg.layer.sampled import Sampled
from zg.layer.surrogate import Surrogate
from zg.space import ParameterSpace
from zg.workers.pool import PoolSettings, Scene

Name = Literal["surrogate", "jacobian", "sampled"]

#: The options of the estimators that have some.
SETTINGS: dict[str, Any] = {"surrogate": SurrogateSettings, "jacobian": JacobianSettings}


class Layer(nn.Module):
    """A renderer as a layer: x [B, n] -> images [B, C, H, W], or of whichever shape the renderer returns.

    render: a function of one x, called as `zg.optimize` calls it: of an array [n], or of the blocks of `space` by name
        if there are several. It returns an image, a vector or a number; None, NaN or an exception is a failed render.
        Or a `zg.Scene`.
    estimator: `surrogate`, a network that is learned from all renders near the rows; `jacobian`, a picture that is
        linear in each region of x; or `sampled`, without memory (docs/layer.md).
    space: bounds, scales and integers. x is in scaled units then, 0 … 1 for a parameter with the bounds 0 and 1, and
        the renderer gets the user's units. Without it, the renderer gets x as it is.
    sigma: width of the Gaussian that smooths the gradient, in units of x. Larger: the gradient sees further, and is
        more biased. None: measured at the first backward step, with 512 renders, and later again, such that this takes
        at most a twentieth of the renders (`zg.layer.calibration`); 0.1 for a budget below 10,240 renders.
    pairs: antithetic pairs a row, each two renders. A backward step costs 2 · pairs renders for each row whose upstream
        gradient is not 0; a forward step one for each row. None: fewer, the more the surrogate explains.
    draws: `orthogonal` or `gaussian`, which smooth alike; for `sampled` also `spsa` or `fr22`.
    options: of the surrogate (`zg.layer.learner.SurrogateSettings`), or of the Jacobian
        (`zg.layer.regions.JacobianSettings`).
    batched: `render` gets all rows in one call. tensors: it gets tensors in place of NumPy's arrays.
    max_renders: budget of forward and backward together; None is no limit. A forward that needs a gradient is refused
        where the renders of its backward would not fit.
    seed: of everything random. workers, pool, address, timeout: as in `zg.optimize`.
    Raises SettingError for a wrong setting or input, and for a derivative of the gradient (`create_graph`).

    A row whose render failed is NaN in the image and False in `valid`, and its gradient is 0. The layer has no
    parameters for the optimiser of a network; what it has learned, counters and generators are in its `state_dict`.

    >>> import torch, zg
    >>> layer = zg.Layer(lambda x: x[0] + x[1] * x, estimator="sampled", pairs=2, sigma=0.1)
    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> layer(x).sum().backward()
    >>> x.grad.round(decimals=3).tolist(), layer.renders  # of 2 x₀ + x₀ x₁ + x₁²
    ([[4.0, 5.0]], 5)
    """

    def __init__(
        self,
        render: Callable[..., Any] | Scene,
        *,
        estimator: Name = "surrogate",
        space: ParameterSpace | None = None,
        sigma: float | None = None,
        pairs: int | None = None,
        draws: Kind = "orthogonal",
        options: Mapping[str, Any] | None = None,
        batched: bool = False,
        tensors: bool = False,
        max_renders: int | None = None,
        seed: int = 0,
        workers: int = 1,
        pool: str = "threads",
        address: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__()
        check_switch(batched=batched, tensors=tensors)
        check_whole(0, seed=seed)
        if max_renders is not None:
            check_whole(max_renders=max_renders)
        if space is not None and not isinstance(space, ParameterSpace):
            raise SettingError(f"space must be a ParameterSpace, got {type(space).__name__}")
        if batched and (pool != "threads" or isinstance(render, Scene)):
            raise SettingError("batched gives all rows to one call of a function, so pool must be threads")
        if sigma is None and max_renders is not None and max_renders < SPARED * RENDERS:
            sigma = START
        renderer = render if isinstance(render, Scene) else calling(render, space, batched, tensors)
        self.estimator = make_estimator(estimator, Sampling(sigma, pairs, draws), seed, options)
        self.rendering = Renders(renderer, space, PoolSettings(workers, pool, address, timeout), max_renders, seed)
        self.space = space
        self.valid = torch.zeros(0, dtype=torch.bool)  # [B], of the last forward
        self.rendered_backward = 0

    def forward(self, x: Tensor) -> Tensor:
        """Render each row of x [B, n]. Half precision is rendered, and returned, in single precision."""
        if not isinstance(x, Tensor) or x.ndim != 2 or not x.is_floating_point():
            raise SettingError(f"x must be a floating-point tensor [B, n], got {described(x)}")
        if self.space is not None and x.shape[1] != self.space.n:
            raise SettingError(f"x must have the {self.space.n} coordinates of space, got {list(x.shape)}")
        if not len(x):
            raise SettingError(f"x must have at least one row, got shape {list(x.shape)}")
        if not x.isfinite().all():
            raise SettingError("x must be finite, got NaN or infinity: has the network diverged?")
        if torch.is_grad_enabled() and x.requires_grad:
            wanted = len(x) + self.estimator.cost(*x.shape)
            self.rendering.check_left(wanted, f"forward and backward of {len(x)} rows")
        images: Tensor = _Render.apply(x if x.dtype == torch.float64 else x.float(), self)  # type: ignore[no-untyped-call]
        return images

    def predict(self, x: Tensor) -> Tensor:
        """The images that the surrogate predicts for x [B, n], without a render, with its own derivative for x.

        For further steps between those that render. Raises SettingError without a surrogate that has learned.
        """
        if not isinstance(self.estimator, Surrogate):
            raise SettingError("predict needs the estimator surrogate or jacobian, got sampled")
        images = self.estimator.learner.predict(x)
        assert self.rendering.shape is not None
        return images.reshape(len(x), *self.rendering.shape)

    @property
    def renders(self) -> int:
        """Number of renders so far, failed ones included."""
        return self.rendering.made

    @property
    def left(self) -> float:
        """Number of renders that the budget still has; infinity without one."""
        return self.rendering.left

    def status(self) -> dict[str, float]:
        """Numbers for a log: renders, those that failed, those of the last backward step, seconds, σ, pairs a row.

        Of a surrogate also the pairs or regions in memory, its share β, and the part of the variance of v · ΔI that it
        explains.
        """
        counts = {"renders": self.rendering.made, "failed": self.rendering.failed}
        last = {"renders_backward": self.rendered_backward, "seconds": self.rendering.seconds}
        return {**counts, **last, **self.estimator.status()}

    def close(self) -> None:
        """End the workers."""
        self.rendering.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def get_extra_state(self) -> dict[str, Any]:
        """Counters, generators, memory and network: the layer's part of `state_dict`."""
        return {"estimator": self.estimator.state(), "renders": self.rendering.state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.estimator.load(state["estimator"])
        self.rendering.load(**state["renders"])

    @torch.no_grad()
    def gradient(self, x: Tensor, v: Tensor) -> Tensor:
        """The estimate of vᵀ ∂I/∂x [B, n] for x [B, n] and upstream gradients v [B, D]. Rows with v = 0 are free."""
        before = self.rendering.made
        needed = (v != 0).any(1)
        found = torch.zeros_like(x)
        if needed.any():
            with torch.autocast(x.device.type, enabled=False):
                found[needed] = self.estimator.gradient(x[needed], v[needed], self.rendering)
        self.rendered_backward = self.rendering.made - before
        return found


class _Render(torch.autograd.Function):
    """x [B, n], layer -> images."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer) -> Tensor:
        images = layer.rendering(x)
        valid = images.isfinite().all(1)
        layer.valid, ctx.layer = valid, layer
        ctx.save_for_backward(x, valid)
        assert layer.rendering.shape is not None
        return images.reshape(len(x), *layer.rendering.shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        x, valid = ctx.saved_tensors
        v = upstream[0].flatten(1) if upstream[0].ndim > 1 else upstream[0][:, None]
        found = ctx.layer.gradient(x, v.detach().where(valid[:, None], 0.0))
        if torch.is_grad_enabled():  # create_graph
            found = _Once.apply(found, x, upstream[0])  # type: ignore[no-untyped-call]
        return found, None


class _Once(torch.autograd.Function):
    """The gradient, with a backward that refuses."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *inputs: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        raise SettingError(
            "the gradient of a Layer is an estimate without derivatives of its own: a loss must not contain it "
            "(create_graph, a gradient penalty, second-order optimisers)"
        )


def calling(render: Callable[..., Any], space: ParameterSpace | None, batched: bool, tensors: bool) -> Calling:
    """How a function is called."""
    check_callable(render, "render")
    blocks = [] if space is None else space.arguments
    kind: Any = "tensor" if tensors else "array"
    return Calling(render, (), {}, blocks, "float64", batched, len(blocks) > 1, kind)


def make_estimator(name: str, sampling: Sampling, seed: int, options: Mapping[str, Any] | None) -> Estimator:
    """The estimator with this name. Raises SettingError for a name or an option that there is not."""
    if name not in get_args(Name):
        raise SettingError(
            f"estimator must be one of {', '.join(get_args(Name))}, got '{name}'{nearest(name, get_args(Name))}"
        )
    known = SETTINGS[name].__dataclass_fields__ if name in SETTINGS else {}
    for option in options or {}:
        if option not in known:
            raise SettingError(f"{name} has no option '{option}'{nearest(option, known)}")
    if name == "sampled":
        return Sampled(sampling, seed)
    if sampling.draws not in ("orthogonal", "gaussian"):
        raise SettingError(
            f"draws must be orthogonal or gaussian for the {name}, which is smoothed alike, got '{sampling.draws}'"
        )
    if name == "jacobian":
        regions = JacobianSettings(**(options or {}))
        return Surrogate(sampling, seed, Jacobians(regions), regions.correction, predictions=1)
    learned = SurrogateSettings(**(options or {}))
    return Surrogate(sampling, seed, Learner(learned, seed), learned.correction, learned.predictions)


def described(x: Any) -> str:
    """What was given in place of x."""
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
