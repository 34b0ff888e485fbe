"""The calls for a function of the user: `optimize` and `minimize`. Ask-and-tell is in `zg.ask_and_tell`.

    import zg
    result = zg.optimize(render, init=[0.2, 0.4], reference=image, max_renders=2000)
    result = zg.minimize(f, x0=[3.0, -1.0])

Both raise `zg.SettingError`, with one line, for a wrong setting.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zg.budget import Budget, StopReason
from zg.config.compose import Config, compose
from zg.errors import SettingError, check_switch
from zg.functions import FunctionTask, Init, Values, check_callable, make_space
from zg.loop import Loop
from zg.losses import Loss
from zg.method import Method
from zg.run.known import GiveKnown, read_known
from zg.run.observer import Call, Observer
from zg.run.result import Result
from zg.run.run import run
from zg.run.terminal import is_watched, print_aside
from zg.run.tracking import Writer
from zg.space import Block, ParameterSpace
from zg.workers.pool import PoolSettings

#: The default with a reference, and without.
PICTURED, TOLD = "zg.zerograds.image.ImageZeroGrads", "zg.zerograds.method.ZeroGrads"


def optimize(
    render: Callable[..., Any],
    init: Init | None = None,
    *,
    reference: Any = None,
    target: Init | None = None,
    loss: str | Loss = "mse",
    regulariser: Callable[[Tensor], Tensor] | None = None,
    space: ParameterSpace | Mapping[str, Block] | Block | None = None,
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
    callback: Callable[[Loop], Any] | None = None,
    logger: Any = None,
    seed: int = 0,
    workers: int = 1,
    pool: str = "threads",
    address: str | None = None,
    timeout: float | None = None,
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
    init: the initial x in the user's units; None for the one in `space`.
    reference: the image to match, as numbers or as the path of a file. target: the x whose render is to be matched.
        Without both, `render` returns a loss.
    loss: mse, scale_independent, relative_mse, multiscale, or a function (images [B, ...], reference) -> [B].
    regulariser: a function of x [B, n] in the user's units -> [B], added to the loss.
    space: bounds, scales and integer parameters (`ParameterSpace`).
    args, kwargs: further arguments of `render`.
    batched: `render` gets [B, ...] of each parameter and returns B images or losses.
    linear: images are linear radiance; pictures show them through the sRGB curve.
    method: a name (`zg list methods`), a name with settings such as {"name": "es", "lr": 0.1}, or a `Method`. The
        default is `zerograds-image` with a reference or target, for it sees the image and applies the loss to what it
        predicts, and `zerograds` without. `Result.row` has the name, and in `feedback` what the method was told.
    feedback: "loss" keeps the image from the default, which is `zerograds` then, as for a loss without derivatives.
    known: evaluations from before, pairs (x, loss). The best one is the start, in place of `init`, and its loss is the
        best so far. Methods that learn from past renders have all of them as such, and do not render them again: the
        default without pictures, up to 10 parameters or where renders are noisy. `Result.known` says what was done.
    max_renders, max_seconds, target_loss, patience, max_failed: the limits of the run (`zg.Budget`).
    callback: called with the `zg.loop.Loop` of the run after each iteration. A true return value ends the run.
        `loop.ledger` counts the renders and keeps the best one. `loop.method` has `recommend()`, the present θ [n] in
        scaled units, and `predict` and `surrogate_gradient` of the surrogate.
    logger: Lightning loggers, or an object with `add_scalar(tag, value, step)`; one or a list.
    seed: seed of the run, ≥ 0.
    workers: number of calls of `render` side by side (docs/scale.md). pool: in `threads` of this process, in
        `processes` that are started cleanly, or on a `ray` cluster; address: of that cluster, host:6379.
    timeout: seconds after which a call has failed; for processes and ray.
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
    check_switch(resume=resume, progress=progress is not None and progress, catch_signals=catch_signals)
    _check_kinds(callback, folder, reference, target)
    observers: list[Observer] = [] if callback is None else [Call(callback, StopReason.CALLBACK)]
    giver, start = None, init
    if known is not None:
        space, evaluations = read_known(known, init, space)
        giver, start = GiveKnown(evaluations), None
        init = evaluations.like if init is None else init
        observers.append(giver)
    task = FunctionTask(
        render,
        make_space(start, space),
        reference=reference,
        target=target,
        loss=loss,
        regulariser=regulariser,
        args=args,
        kwargs=kwargs,
        batched=batched,
        named=_is_named(init, space),
        like=next(iter(init.values())) if isinstance(init, Mapping) else init,
        linear=linear,
        pool=PoolSettings(workers, pool, address, timeout),
    )
    budget = Budget(max_renders, max_seconds, target_loss, patience, max_failed)
    chosen, config = choose_method(method, feedback, reference is not None or target is not None)
    result = run(
        task,
        chosen,
        budget,
        seed=seed,
        config=config,
        folder=None if folder is None else Path(folder),
        resume=resume,
        loggers=as_loggers(logger),
        observers=observers,
        curve_points=curve_points,
        say=print_aside if progress else None,
        progress=progress is None and is_watched(),
        deliver_signals=not catch_signals,
    )
    result.known = "" if giver is None else giver.said
    if failed := result.row["failed_renders"]:
        first = result.first_error or "a value that is not finite"
        warnings.warn(f"{failed} of {result.renders} renders failed, the first with {first}", stacklevel=2)
    return result


def _is_named(init: Any, space: Any) -> bool:
    """Whether the function gets its parameters by name."""
    has_blocks = isinstance(space, ParameterSpace) and len(space.blocks) > 1
    return isinstance(init, Mapping) or isinstance(space, Mapping) or has_blocks


def _check_kinds(callback: Any, folder: Any, reference: Any, target: Any) -> None:
    """Raise SettingError for settings of `optimize` of the wrong kind, or that exclude each other."""
    if callback is not None:
        check_callable(callback, "callback")
    if folder is not None and not isinstance(folder, str | Path):
        raise SettingError(f"folder must be a path, got {folder!r}")
    if reference is not None and target is not None:
        raise SettingError("reference and target exclude each other, got both")


def minimize(f: Callable[..., Any], x0: Values | Mapping[str, Values], **settings: Any) -> Result:
    """Find the x with the lowest f(x), where f returns a number. The other settings are those of `optimize`.

    >>> import zg
    >>> result = zg.minimize(lambda x: (x[0] - 3) ** 2 + (x[1] + 1) ** 2, x0=[0.0, 0.0], max_renders=60)
    >>> result.theta.round(decimals=3).tolist()
    [3.0, -1.0]
    """
    for name in ("reference", "target", "loss", "linear"):
        if name in settings:
            raise SettingError(f"{name} is a setting of optimize; minimize uses the number that f returns")
    check_callable(f, "f")
    return optimize(f, x0, **settings)


def choose_method(
    method: str | Method | Mapping[str, Any] | None, feedback: str | None, sees_images: bool
) -> tuple[Method, Config]:
    """The method that was given, or the default, and its config; sees_images: whether there is a reference.

    Raises SettingError for an unknown feedback, or one that the method cannot have.
    """
    if feedback not in (None, "loss", "image"):
        raise SettingError(f"feedback must be loss or image, got {feedback!r}")
    if feedback == "image" and not sees_images:
        raise SettingError("feedback must be loss where there is neither reference nor target, got image")
    if method is None:
        takes_images = sees_images and feedback != "loss"
        return make_method({"class_path": PICTURED if takes_images else TOLD})
    chosen, config = make_method(method)
    if feedback not in (None, chosen.feedback):
        name = type(chosen).__name__
        raise SettingError(f"feedback must be {chosen.feedback} for {name}, or left out, got {feedback!r}")
    return chosen, config


def make_method(method: str | Method | Mapping[str, Any]) -> tuple[Method, Config]:
    """The method that `optimize` was given, and its config. A `Method` has an empty config."""
    if isinstance(method, Method):
        if method.started:
            raise SettingError("method must be a new object, got one that was used in a run")
        return method, {}
    from zg.config.build import check_keys, instantiate, parse_component, resolved

    if isinstance(method, Mapping) and not {"name", "class_path"} & set(method):
        raise SettingError(f"method must have a name, got {method!r}")
    config = compose({"model": dict(method) if isinstance(method, Mapping) else method})
    check_keys("model", config["model"])
    component = parse_component("model", config["model"])
    return instantiate("model", component), resolved(config, {"model": component})


def as_loggers(logger: Any) -> list[Any]:
    """The loggers that `optimize` was given, as a list: None, one or several; writers become loggers."""
    given = [] if logger is None else list(logger) if isinstance(logger, list | tuple) else [logger]
    made: list[Any] = []
    for one in given:
        if hasattr(one, "log_metrics"):
            made.append(one)
        elif hasattr(one, "add_scalar"):
            made.append(Writer(one))
        else:
            raise SettingError(f"logger must be a Lightning logger or have add_scalar, got {type(one).__name__}")
    return made
