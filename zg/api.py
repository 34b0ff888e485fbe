"""The calls for a function of the user: `optimize` and `minimize`. Ask-and-tell is in `zg.ask_and_tell`.

    import zg
    result = zg.optimize(render, init=[0.2, 0.4], reference=image, max_renders=2000)
    result = zg.minimize(f, x0=[3.0, -1.0])

Both raise `zg.SettingError`, with one line, for a wrong setting.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from zg.budget import Budget, StopReason
from zg.constraints import Constrained
from zg.errors import SettingError, check_switch
from zg.functions import FunctionTask, check_callable, one_value
from zg.given import as_callback, as_folder, as_loggers, check_functions, choose_method, one_of
from zg.losses import Losses
from zg.method import Method
from zg.run.known import GiveKnown, read_known
from zg.run.observer import Call, Observer
from zg.run.result import Result
from zg.run.run import run
from zg.run.terminal import is_watched, print_aside
from zg.space import ParameterSpace
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
    known: Iterable[tuple[Init, float]] | None = None,
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
    progress: bool | None = None,
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
        {name: weight} or {name: (function, weight)}; each is logged as `loss_NAME`. Without reference and target,
        {name: weight} of the losses that `render` returns as {name: loss}.
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
    known: evaluations from before, pairs (x, loss). The best one is the start, in place of `init`, and its loss is the
        best so far. Methods that learn from past renders have all of them as such, and do not render them again: the
        default without pictures, up to 10 parameters or where renders are noisy. `Result.known` says what was done.
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
    progress: a line on standard error with renders, losses and the remaining time. None: if it is a terminal, or in a
        notebook. True: in a script, too, as a line of text at each tenth of the budget. False: never.
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
    check_switch(
        resume=resume,
        progress=False if progress is None else progress,
        catch_signals=catch_signals,
        asynchronous=asynchronous,
    )
    one_of(reference=reference, target=target)
    made, like, giver = _described(init, space, bounds, integer, known)
    observers: list[Observer] = [] if callback is None else [Call(as_callback(callback), StopReason.CALLBACK)]
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
        named=any(isinstance(given, Mapping) for given in (like, space, bounds)) or len(made.blocks) > 1,
        like=one_value(like),
        linear=linear,
        pool=PoolSettings(workers, pool, address, timeout),
        constraints=constraints,
    )
    sees_images = (reference is not None or target is not None) and constraints is None
    chosen, config = choose_method(method, feedback, sees_images)
    chosen = chosen if constraints is None else Constrained(chosen)
    result = run(
        task,
        chosen,
        Budget(max_renders, max_seconds, target_loss, patience, max_failed),
        seed=seed,
        config=config,
        folder=as_folder(folder),
        resume=resume,
        loggers=as_loggers(logger),
        observers=[*observers, *([] if giver is None else [giver])],
        curve_points=curve_points,
        say=print_aside if progress else None,
        progress=progress is None and is_watched(),
        deliver_signals=not catch_signals,
        asynchronous=asynchronous,
    )
    result.known = "" if giver is None else giver.said
    warn_of(result, stacklevel=3)
    return result


def _described(
    init: Init | None, space: Space | None, bounds: Any, integer: Any, known: Any
) -> tuple[ParameterSpace, Any, GiveKnown | None]:
    """The space of a call, a value like those that the function gets, and who gives the method what is known."""
    if known is None:
        return make_space(init, space, bounds, integer), init, None
    made, evaluations = read_known(known, init, space, bounds, integer)
    return made, evaluations.like if init is None else init, GiveKnown(evaluations)


def warn_of(result: Result, stacklevel: int) -> None:
    """Warn of renders that failed, and of constraints that no x has met."""
    if failed := result.row["failed_renders"]:
        first = result.first_error or "a value that is not finite"
        warnings.warn(f"{failed} of {result.renders} renders failed, the first with {first}", stacklevel=stacklevel)
    if not math.isfinite(result.loss) and math.isfinite(lowest := result.row["best_loss"]):
        told = "the result was rendered again, and this failed: its loss is not known; the lowest of the run is"
        warnings.warn(f"{told} {lowest:.4g}", stacklevel=stacklevel)
    if (violation := cast("dict[str, float]", result.row).get("metric_violation", 0)) > 0:
        told = f"no x met the constraints; that of the result has the violation {violation:.3g}"
        warnings.warn(told, stacklevel=stacklevel)


def minimize(f: Callable[..., Any], x0: Init | None = None, **settings: Any) -> Result:
    """Find the x with the lowest f(x), where f returns a number. The other settings are those of `optimize`.

    x0: the initial x; left out with `bounds` or `space`.

    Where f returns several losses as {name: loss}, their weights are the setting `loss`, {name: weight}. The weighted
    sum is minimised, and each loss is logged as `loss_NAME`.

    >>> import zg
    >>> result = zg.minimize(lambda x: (x[0] - 3) ** 2 + (x[1] + 1) ** 2, x0=[0.0, 0.0], max_renders=60)
    >>> result.theta.round(decimals=3).tolist()
    [3.0, -1.0]
    >>> result = zg.minimize(lambda x: float(x @ x), bounds=[(-1, 4), (-2, 2)], integer=[0], max_renders=60)
    >>> result.theta.round(decimals=3).abs().tolist()
    [0.0, 0.0]
    """
    for name in ("reference", "target", "linear"):
        if name in settings:
            raise SettingError(f"{name} is a setting of optimize; minimize uses the number that f returns")
    if "loss" in settings and not isinstance(settings["loss"], Mapping):
        raise SettingError(f"loss of minimize must be weights of what f returns by name, got {settings['loss']!r:.80}")
    check_callable(f, "f")
    return optimize(f, x0=x0, **settings)
