"""Errors in what the user wrote, reported in one line; and the end of a run by a signal."""

import math
import re
import signal
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

# An error message lists at most this many known names.
LISTED = 24
#: Packages whose lines mean nothing to a user who is warned.
INNER = ("zg", "torch", "pytorch_lightning")


class SettingError(ValueError):
    """A setting is wrong. The message names the setting, its value and what is expected."""

    def __init__(self, message: str) -> None:
        # In one line, also where a value is an array of several rows or a name with a line break.
        super().__init__(re.sub(r"\n\s+", " ", message).replace("\n", "\\n"))


class RenderError(Exception):
    """A render has failed in a worker. The message says why: what the renderer raised, or how its worker ended."""


class RunError(Exception):
    """A run was ended by an exception that is no wrong setting. The message says where its traceback is."""


def in_words(error: BaseException) -> str:
    """An exception in one line, as `ValueError: a negative radius`. The text of a user's exception may itself raise.

    A RenderError is what it says, for that is already in words.
    """
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be told"
    return " ".join((text if isinstance(error, RenderError) else f"{type(error).__name__}: {text}").split())


def warn_user(text: str) -> None:
    """Warn with the line of the user's code that led here, however deep in this package the reason was found."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INNER:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def check_switch(**settings: object) -> None:
    """Raise SettingError for a setting that is neither True nor False."""
    for name, value in settings.items():
        if type(value).__name__ not in ("bool", "bool_"):  # NumPy has its own
            raise SettingError(f"{name} must be True or False, got {value!r}")


def signal_name(number: int) -> str:
    """The name of a signal. Those for real time, of which Linux has 31, have none in Python."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Interrupted(KeyboardInterrupt):
    """A signal has ended a run at once, without a result. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"by {signal.Signals(number).name}")
        self.number = number


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: `; did you mean 'texture'?` if a known name is close, else all known names."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    more = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return f"; known: {', '.join(names[:LISTED]) or 'none'}{more}"


def check_positive(**settings: Any) -> None:
    """Raise SettingError unless every setting is a finite number > 0."""
    for name, value in settings.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise SettingError(f"{name} must be a finite number, got {value!r}")
        if value <= 0:
            raise SettingError(f"{name} must be > 0, got {value}")


def check_whole(least: int = 1, **settings: Any) -> None:
    """Raise SettingError unless every setting is an integer ≥ `least`."""
    for name, value in settings.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise SettingError(f"{name} must be a whole number, got {value!r}")
        if value < least:
            raise SettingError(f"{name} must be {'> 0' if least == 1 else f'at least {least}'}, got {value}")
