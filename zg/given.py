"""What `optimize` and its like are given, made into objects: a method, loggers, a callback, losses."""

import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zg.arrays import as_array, check_number
from zg.config.compose import Config, compose
from zg.config.registry import DEFAULT_WORDS
from zg.errors import SettingError
from zg.functions import check_callable
from zg.images import as_numbers
from zg.loop import Loop
from zg.method import Method
from zg.run.tracking import Writer

#: The default with a reference, and without.
PICTURED, TOLD = "zg.zerograds.image.ImageZeroGrads", "zg.zerograds.method.ZeroGrads"
#: Names of the first parameter of SciPy's callbacks that take x.
SCIPY_X = ("xk", "x")


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
    if method is None or (isinstance(method, str) and method.lower() in DEFAULT_WORDS):
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
    if isinstance(method, type) and issubclass(method, Method):
        return method(), {}
    from zg.config.build import check_keys, instantiate, parse_component, resolved

    if not isinstance(method, str | Mapping) or (
        isinstance(method, Mapping) and not {"name", "class_path"} & set(method)
    ):
        raise SettingError(f"method must be a name, a name with settings, or a Method, got {method!r}")
    config = compose({"model": dict(method) if isinstance(method, Mapping) else method})
    check_keys("model", config["model"])
    component = parse_component("model", config["model"])
    return instantiate("model", component), resolved(config, {"model": component})


def one_of(**settings: Any) -> Any:
    """The one that was given of two settings that exclude each other; None if none was."""
    given = {name: value for name, value in settings.items() if value is not None}
    if len(given) > 1:
        raise SettingError(f"{' and '.join(settings)} exclude each other, got both")
    return next(iter(given.values()), None)


def check_functions(**settings: Any) -> None:
    """Raise SettingError for a setting that is given and no function."""
    for name, function in settings.items():
        if function is not None:
            check_callable(function, name)


def as_folder(folder: Any) -> Path | None:
    """The folder of a run. Raises SettingError for what is no path."""
    if folder is not None and not isinstance(folder, str | Path):
        raise SettingError(f"folder must be a path, got {folder!r}")
    return None if folder is None else Path(folder)


def as_losses(losses: Any) -> Tensor:
    """Told losses [B] as float64; None is a failed render. Raises SettingError for anything but numbers."""
    if isinstance(losses, list | tuple):
        losses = [math.nan if loss is None else loss for loss in losses]
        for loss in losses:
            check_number(as_array(loss, "losses"), "a loss")
    told = as_numbers(losses, "losses")
    check_number(told, "a loss")
    return told.double().reshape(-1)


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


def as_callback(callback: Callable[..., Any]) -> Callable[[Loop], Any]:
    """A function of the loop that ends the run by a true value, from a callback of ours or of SciPy's.

    `callback(intermediate_result)`, with this name, gets SciPy's OptimizeResult: `x`, the best x so far as an array,
    `fun`, `nfev` and `nit`. `callback(xk)`, with this name or `x`, gets the best x. Any other gets the loop. Each may
    raise StopIteration, as SciPy has it.
    """
    try:
        names = list(inspect.signature(callback).parameters)
    except (TypeError, ValueError):  # a function in C without a signature
        names = []

    def called(loop: Loop) -> Any:
        try:
            if "intermediate_result" in names:
                return callback(intermediate_result=intermediate_result(loop)) is True
            if names[:1] and names[0] in SCIPY_X:
                return callback(best_x(loop)) is True  # SciPy's may return anything else, such as x
            return callback(loop)
        except StopIteration:
            return True

    return called


def best_x(loop: Loop) -> Any:
    """The best counted x [n] so far, as an array in the user's units."""
    return loop.method.space.to_user(loop.ledger.best_theta).cpu().numpy()


def intermediate_result(loop: Loop) -> Any:
    """The state of a run as SciPy tells it."""
    from scipy.optimize import OptimizeResult

    ledger = loop.ledger
    return OptimizeResult(x=best_x(loop), fun=ledger.best_loss, nfev=ledger.renders, nit=loop.iteration)
