"""A run in a few lines of text."""

import html
import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from zg.run.row import Row

#: Most values of a parameter that are written out.
SHOWN = 6
#: The space at which no line ends.
UNBROKEN = "\N{NO-BREAK SPACE}"
#: Most characters of a line of parameters.
LINE = 100


def value_in_words(value: Any) -> str:
    """A parameter: a number, a few numbers, or the shape and the range of many."""
    if not hasattr(value, "shape"):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    flat = value.reshape(-1).tolist()
    if not value.shape:
        return value_in_words(flat[0])
    if len(flat) <= SHOWN and len(value.shape) == 1:
        return f"[{', '.join(value_in_words(one) for one in flat)}]"
    return f"{list(value.shape)}, {value_in_words(min(flat))} … {value_in_words(max(flat))}"


def params_in_words(params: Mapping[str, Any], lines: int = 1, indent: int = 0) -> str:
    """`count = 12, angle = [0.3, 1.2]`. lines: most lines; parameters that they have no room for are left out.

    indent: number of spaces before the second line and those after it.
    """
    whole = (f"{name} = {value_in_words(value)}".replace(" ", UNBROKEN) for name, value in params.items())
    wrapped = textwrap.wrap(", ".join(whole), LINE, max_lines=lines, placeholder=" …")
    return ("\n" + indent * " ").join(wrapped).replace(UNBROKEN, " ")


def loss_in_words(row: Row, loss: float) -> str:
    """`2.5 -> 1`, of start and result, which were rendered again; then whether that failed, or constraints are met."""
    said = f"{row['init_loss']:.4g} -> {loss:.4g}"
    if not math.isfinite(loss) and math.isfinite(row["best_loss"]):
        return f"{said}: the last render failed; the lowest loss of the run is {row['best_loss']:.4g}"
    violation = cast("dict[str, float]", row).get("metric_violation")
    if violation is None:
        return said
    return f"{said}, constraints met" if violation <= 0 else f"{said}, constraints violated by {violation:.3g}"


def times_in_words(row: Row) -> str:
    """Where the time went. Of a resumed run, all its parts together."""
    parts = [f"{row['seconds_render']:.1f} s rendering", f"{row['seconds_method']:.1f} s method"]
    return ", ".join([*parts, f"{row['seconds']:.1f} s in total"])


def ending_in_words(row: Row) -> str:
    """`zerograds-image (dense): 57 renders, 3 failed, stopped: converged`."""
    name = row["method"] + (f" ({row['resolved']})" if row["resolved"] else "")
    failed = f", {row['failed_renders']} failed" if row["failed_renders"] else ""
    return f"{name}: {row['renders']} renders{failed}, stopped: {row['stop_reason']}"


def interruption_in_words(row: Row, params: Mapping[str, Any], folder: Path | None) -> str:
    """What a run that a signal has ended leaves, and how to go on with it, for a caller who gets no result."""
    said = f"stopped by a signal after {row['renders']} renders, loss {row['final_loss']:.4g}"
    if folder is not None:
        return f"{said}; kept in {folder}: the same call with resume=True goes on"
    return f"{said} at {params_in_words(params)}; folder=… would keep the run, catch_signals=True returns the result"


def as_html(text: str) -> str:
    """Plain text for a page of HTML."""
    return f"<pre>{html.escape(text)}</pre>"


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
