"""The calls for a function of the user: `optimize`, `minimize`, and ask-and-tell with `Optimizer`.

    import zg
    result = zg.optimize(render, init=[0.2, 0.4], reference=image, max_renders=2000)
    result = zg.minimize(f, x0=[3.0, -1.0])

    optimizer = zg.Optimizer(zg.ParameterSpace(x=zg.Block([3.0, -1.0])))
    while optimizer.renders < 2000:
        xs = optimizer.ask()
        optimizer.tell([f(x) for x in xs])
    optimizer.recommend()

All of them raise `zg.SettingError`, with one line, for a wrong setting.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from zg.budget import Budget, StopReason
from zg.constraints import Constrained
from zg.errors import SettingError, check_switch, check_whole
from zg.functions import FunctionTask, Judge, check_callable
from zg.given import as_callback, as_loggers, as_losses, check_functions, choose_method, one_of
from zg.loop import Loop
from zg.losses import Losses
from zg.method import Method
from zg.run.observer import Call
from zg.run.result import Result
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.spaces import Init, Space, make_space
from zg.workers.pool import PoolSettings


def optimize(
    render: Callable[..., Any],
    init: Init | None = None,
    *,
    x0: Init | None = None,
    bounds: Any = None,
    integer: Any = None,
    space: Space | None = None,
    reference: Any = None,
    target: Init | None = None,
    loss: Losses = "mse",
    regulariser: Callable[[Tensor], Tensor] | None = None,
    constraints: Callable[..., Any] | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    batched: bool = False,
    linear: bool = False,
    method: str | Method | Mapping[str, Any] | None = None,
    feedback: str | None = None,
    max_renders: int = 2000,
    max_seconds: float | None = None,
    target_loss: float | None = None,
    patience: int | None = None,
    max_failed: float = 0.5,
    callback: Callable[..., Any] | None = None,
    logger: Any = None,
    seed: int = 0,
    workers: int = 1,
    pool: str = "threads",
    address: str | None = None,
    timeout: float | None = None,
    asynchronous: bool = False,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    curve_points: int = 50,
    catch_signals: bool = False,
) -> Result:
    """Find the parameters x whose render has the lowest loss, by calls of `render` alone.

    render: called as `render(x, *args, **kwargs)`, where x has the type of `init`: a NumPy array, a tensor or a float.
        If `init` or `space` has names, it is called as `render(*args, name=…, **kwargs)`. It returns an image [H, W],
        [H, W, C] or [C, H, W]; 8-bit and 16-bit images are scaled to 0 … 1.
    init, x0: the initial x in the user's units, by one of two names; None for the one in `space`, or for the middle of
        `bounds`.
    bounds: (low, high) of each parameter, as SciPy has them; a pair for all; or pairs by name. None is no bound.
    integer: which parameters are whole numbers: True for all, flags, positions, or names.
    space: in place of `bounds` and `integer`: bounds, scales, integer and categorical parameters (`ParameterSpace`).
    reference: the image to match, as numbers or as the path of a file. target: the x whose render is to be matched.
        Without both, `render` returns a loss.
    loss: mse, scale_independent, relative_mse, multiscale, or a function (images [B, ...], reference) -> [B]. Several:
        {name: weight} or {name: (function, weight)}; each is logged as `loss_NAME`.
    regulariser: a function of x [B, n] in the user's units -> [B], added to the loss.
    constraints: a function with the arguments of `render` that returns g, a number or m numbers; x is feasible where
        all are ≤ 0. The result is the best feasible x that was rendered, `Result.row["metric_violation"]` Σ max(0, g).
    args, kwargs: further arguments of `render`.
    batched: `render` gets [B, ...] of each parameter and returns B images or losses.
    linear: images are linear radiance; pictures show them through the sRGB curve.
    method: a name (`zg list methods`), a name with settings such as {"name": "es", "lr": 0.1}, or a `Method`. The
        default, also "auto", is `zerograds-image` with a reference or target, for it sees the image and applies the
        loss to what it predicts, and `zerograds` without one or with constraints. `Result.row` has the name, and in
        `feedback` what the method was told.
    feedback: "loss" keeps the image from the default, which is `zerograds` then, as for a loss without derivatives.
    max_renders, max_seconds, target_loss, patience, max_failed: the limits of the run (`zg.Budget`).
    callback: called with the `zg.loop.Loop` of the run after each iteration. A true return value ends the run.
        `loop.ledger` counts the renders and keeps the best one. `loop.method` has `recommend()`, the present θ [n] in
        scaled units, and `predict` and `surrogate_gradient` of the surrogate. SciPy's callbacks are called as
        SciPy does (`zg.given.as_callback`), and StopIteration ends the run.
    logger: Lightning loggers, or an object with `add_scalar(tag, value, step)`; one or a list.
    seed: seed of the run, ≥ 0.
    workers: number of calls of `render` side by side (docs/scale.md). pool: in `threads` of this process, in
        `processes` that are started cleanly, or on a `ray` cluster. address: of that cluster, host:6379.
    timeout: seconds after which a call has failed; for processes and ray.
    asynchronous: a slow call does not hold up the others: results are told as they come. For methods that allow it; the
        order is one of time, so the same seed gives other results of the same kind.
    folder: a new folder for config, checkpoint, history and pictures. resume: continue the run in `folder`.
    progress: print the progress.
    curve_points: number of renders of the recommended x during the run, for `Result.history`. They are not counted, and
        the method does not see them. The initial and the final x are rendered once more at the end in any case.
    catch_signals: whether a run that SIGINT, SIGTERM or SIGHUP ended returns its result. By default the signal reaches
        the caller, too, once the files are written: as KeyboardInterrupt, or as the end of the process.
    Raises SettingError for a wrong setting. Warns if most renders failed.

    >>> import numpy as np
    >>> def ramp(x):  # an image [1, 4]
    ...     return x[0] + x[1] * np.arange(4.0)[None]
    >>> import zg
    >>> result = zg.optimize(ramp, init=np.array([0.1, 0.1]), reference=ramp([0.4, 0.2]), max_renders=60)
    >>> result.theta.round(decimals=3).tolist()
    [0.4, 0.2]
    """
    check_callable(render, "render")
    check_functions(callback=callback, constraints=constraints)
    init = one_of(init=init, x0=x0)
    if folder is not None and not isinstance(folder, str | Path):
        raise SettingError(f"folder must be a path, got {folder!r}")
    check_switch(resume=resume, progress=progress, catch_signals=catch_signals, asynchronous=asynchronous)
    one_of(reference=reference, target=target)
    named = any(isinstance(given, Mapping) for given in (init, space, bounds))
    made = make_space(init, space, bounds, integer)
    task = FunctionTask(
        render,
        made,
        reference=reference,
        target=target,
        loss=loss,
        regulariser=regulariser,
        args=args,
        kwargs=kwargs,
        batched=batched,
        named=named or len(made.blocks) > 1,
        like=next(iter(init.values())) if isinstance(init, Mapping) else init,
        linear=linear,
        pool=PoolSettings(workers, pool, address, timeout),
        constraints=constraints,
    )
    sees_images = (reference is not None or target is not None) and constraints is None
    chosen, config = choose_method(method, feedback, sees_images)
    chosen = chosen if constraints is None else Constrained(chosen)
    if progress and method is None:
        print(f"method {type(chosen).__name__}: is told the {chosen.feedback}")
    result = run(
        task,
        chosen,
        Budget(max_renders, max_seconds, target_loss, patience, max_failed),
        seed=seed,
        config=config,
        folder=None if folder is None else Path(folder),
        resume=resume,
        loggers=as_loggers(logger),
        observers=[] if callback is None else [Call(as_callback(callback), StopReason.CALLBACK)],
        curve_points=curve_points,
        say=print if progress else None,
        deliver_signals=not catch_signals,
        asynchronous=asynchronous,
    )
    warn_of(result, stacklevel=3)
    return result


def warn_of(result: Result, stacklevel: int) -> None:
    """Warn of renders that failed, and of constraints that no x has met."""
    if failed := result.row["failed_renders"]:
        first = result.first_error or "a value that is not finite"
        warnings.warn(f"{failed} of {result.renders} renders failed, the first with {first}", stacklevel=stacklevel)
    if (violation := cast("dict[str, float]", result.row).get("metric_violation", 0)) > 0:
        told = f"no x met the constraints; that of the result has the violation {violation:.3g}"
        warnings.warn(told, stacklevel=stacklevel)


def minimize(f: Callable[..., Any], x0: Init | None = None, **settings: Any) -> Result:
    """Find the x with the lowest f(x), where f returns a number. The other settings are those of `optimize`.

    x0: the initial x; left out with `bounds` or `space`.

    >>> import zg
    >>> result = zg.minimize(lambda x: (x[0] - 3) ** 2 + (x[1] + 1) ** 2, x0=[0.0, 0.0], max_renders=60)
    >>> result.theta.round(decimals=3).tolist()
    [3.0, -1.0]
    >>> result = zg.minimize(lambda x: float(x @ x), bounds=[(-1, 4), (-2, 2)], integer=[0], max_renders=60)
    >>> result.theta.round(decimals=3).abs().tolist()
    [0.0, 0.0]
    """
    for name in ("reference", "target", "loss", "linear"):
        if name in settings:
            raise SettingError(f"{name} is a setting of optimize; minimize uses the number that f returns")
    check_callable(f, "f")
    return optimize(f, x0=x0, **settings)


class Optimizer:
    """Ask-and-tell, for programs in which the caller renders.

    space: a ParameterSpace, or blocks by name.
    method: as in `optimize`; the default is `zerograds-image` with a reference, for which `tell(images=…)` is needed.
    max_renders: the budget, for methods with a schedule. It does not stop `ask`.
    reference, loss, regulariser, linear: as in `optimize`, for programs that tell images.
    Raises SettingError for a wrong setting, and for calls of `ask` and `tell` in the wrong order.

    >>> import zg
    >>> optimizer = zg.Optimizer({"x": zg.Block([2.0])})
    >>> while optimizer.renders < 60:
    ...     optimizer.tell([(float(x[0]) - 5) ** 2 for x in optimizer.ask()])
    >>> round(float(optimizer.recommend()[0]), 3)
    5.0
    >>> import numpy as np
    >>> optimizer = zg.Optimizer({"x": zg.Block([0.2, 0.4])}, reference=np.array([[0.9, 0.5, 0.1]]))
    >>> while optimizer.renders < 9:
    ...     optimizer.tell(images=[x[0] - x[1] * np.arange(3.0)[None] for x in optimizer.ask().numpy()])
    >>> optimizer.recommend().round(decimals=3).tolist()
    [0.9, 0.4]
    """

    def __init__(
        self,
        space: ParameterSpace | Mapping[str, Block],
        method: str | Method | Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        max_renders: int = 10**9,
        reference: Any = None,
        loss: Losses = "mse",
        regulariser: Callable[[Tensor], Tensor] | None = None,
        linear: bool = False,
    ) -> None:
        self.space = make_space(None, space)
        self._judge: Judge | None = None
        if reference is not None:
            self._judge = Judge(self.space, reference, loss, regulariser, linear)
        chosen, config = choose_method(method, None, reference is not None)
        if chosen.feedback != "loss" and reference is None:
            raise SettingError(f"method must use losses only, got {type(chosen).__name__}, which needs a reference")
        check_whole(0, seed=seed)
        settings = config.get("model", {}).get("init_args", {})
        self._loop = Loop(chosen, Budget(max_renders), int(seed), settings)
        self._loop.start_without_renderer(self.space, self._judge.image_loss if self._judge else None)
        self._drop_batch()

    def _drop_batch(self) -> None:
        """Forget the batch of the method in scaled units, and how many of its rows were handed out and told."""
        self._batch = self.space.init.new_empty(0, self.space.n)
        self._losses: list[Tensor] = []
        self._images: list[Tensor] = []
        self._handed = self._told = 0

    @property
    def method(self) -> Method:
        """The method."""
        return self._loop.method

    @property
    def renders(self) -> int:
        """Number of losses in whole batches that the method was told."""
        return self._loop.renders

    def ask(self, batch: int | None = None) -> Tensor:
        """The next x [B, n] to render, in the user's units; B ≤ `batch`, by default the whole batch of the method.

        The first batch of the default method with at most 128 parameters is the start, twice: two losses that differ
        mean that the renderer is noisy. Both are renders of the budget; the second one serves nothing else.
        """
        if batch is not None:
            check_whole(batch=batch)
        if self._handed > self._told:
            raise SettingError(f"tell must follow ask: {self._handed - self._told} losses are missing")
        if self._told == len(self._batch):
            self._batch = self._loop.ask()
            self._handed = self._told = 0
        count = len(self._batch) - self._told if batch is None else min(batch, len(self._batch) - self._told)
        self._handed += count
        return self.space.to_user(self._batch[self._told : self._handed])

    def tell(self, losses: Any = None, *, images: Any = None) -> None:
        """Tell the losses [B] or the images of the x that `ask` returned, in the same order.

        NaN or None is a failed render. images: with a reference alone, one for each x; their losses follow.
        """
        if self._handed == self._told:
            raise SettingError("tell must follow ask: no losses are missing")
        count, seen = self._handed - self._told, None
        if (losses is None) == (images is None):
            raise SettingError("tell must be given either losses or images")
        if images is None and self.method.feedback == "image":
            raise SettingError(f"tell must be given images for {type(self.method).__name__}, got losses")
        if images is not None:
            if self._judge is None:
                raise SettingError("images need the reference of Optimizer to be compared with; there is none")
            x = self.space.to_user(self._batch[self._told : self._handed])
            seen, losses = self._judge.evaluate(x, images)
        told = as_losses(losses).to(self._batch.device)
        if len(told) != count:
            raise SettingError(f"losses must be {count} numbers, one for each x, got {len(told)}")
        self._losses.append(told)
        self._images += [] if seen is None else [seen]
        self._told = self._handed
        if self._told == len(self._batch):
            self._tell_batch()

    def _tell_batch(self) -> None:
        losses, self._losses = torch.cat(self._losses), []
        images, self._images = self._images, []
        evaluation = self._loop.ledger.account(self._batch, losses)
        if images and self._judge is not None and self.method.feedback == "image":
            evaluation = replace(evaluation, images=torch.cat(images), reference=self._judge.reference)
        self._loop.tell(self._batch, evaluation)

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, as tensors and plain values. Call it when all x of a batch have been told."""
        if self._told != len(self._batch) or self._handed != self._told:
            raise SettingError(
                f"state_dict must follow a whole batch: {len(self._batch) - self._told} losses are missing"
            )
        return copy.deepcopy(self._loop.state())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, and drop the x that are not told yet.

        This Optimizer must have been made with the same arguments. Raises SettingError for the state of another method,
        seed, start or number of parameters, and changes nothing then.
        """
        self._loop.load_state(copy.deepcopy(state))
        self._drop_batch()

    def recommend(self) -> Tensor:
        """The best estimate of the optimal x [n] at present, in the user's units."""
        return self.space.to_user(self.method.recommend())
