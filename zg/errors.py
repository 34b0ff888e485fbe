"""Mistakes of the user, told in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class SettingError(ValueError):
    """A setting is wrong. The message names the setting, its value and what would be right."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'texture'?` for the known name closest to `name`, else the list of known names."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(names) or 'none'}"


def check_positive(**settings: float) -> None:
    """Raise SettingError unless every value is > 0 (NaN is not)."""
    for name, value in settings.items():
        if not value > 0:
            raise SettingError(f"{name} must be > 0, got {value}")
