"""What a panel of convergence shows: where lines end, which are in colour, and where its axes begin and end."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from baselines.compare import style
from baselines.compare.chart import chart
from baselines.compare.curves import OTHERS, SIX, Goal, curves
from baselines.compare.rows import Curve, Run

RENDERS = np.geomspace(1, 1000, 31)


def run(method: str, end: float, from_: float = 10.0) -> Run:
    """A run whose loss falls from 1 to `end` after `from_` renders."""
    along = np.clip(np.log(RENDERS / from_) / np.log(1000 / from_), 0, 1)
    losses = (end or 1e-40) ** along
    losses[-1] = end
    row = {"task": "task", "method": method, "seed": 0, "init_loss": 1.0, "final_loss": end, "stop_reason": "budget"}
    return Run(row, Path(), Curve(RENDERS, RENDERS / 100, losses))


def drawn(runs: list[Run], goal: Goal | None = None) -> Figure:
    figure = curves(runs, "renders", {"task": goal} if goal else None)
    assert figure is not None
    return figure


def test_a_loss_below_the_axis_is_marked_and_written():
    figure = drawn([run("cmaes", 8e-28), run("es", 0.0), run("spsa", 0.1)])
    (panel,) = (axes for axes in figure.axes if axes.get_visible())
    lowest = panel.get_ylim()[0]
    assert lowest == pytest.approx(1e-12, rel=0.01)
    words = panel.get_xlabel().replace("\n", " ")
    assert "CMA-ES 8e-28" in words and "ES 0" in words and "SPSA" not in words
    marks = [line for line in panel.lines if line.get_marker() == "v"]
    assert [to_hex(line.get_color()) for line in marks] == [style.LOOKS[name].colour for name in ("cmaes", "es")]
    for line in panel.lines:
        values = np.asarray(line.get_ydata(), dtype=float)
        values = values[np.isfinite(values)]
        assert np.count_nonzero(np.isclose(values, 1e-12, atol=0)) <= 1, "a line must not lie flat on the floor"


def test_the_axis_ends_a_decade_below_the_lowest_loss_that_is_not_0():
    """A display of switches goes from a loss of 0.01 to 0."""
    stops = run("cmaes", 0.0)
    stops.curve.losses[:] = [*np.linspace(1, 0.01, 30), 0]
    panel = drawn([stops, run("es", 0.1)]).axes[0]
    assert panel.get_ylim()[0] == pytest.approx(1e-3, rel=0.01) and "CMA-ES 0" in panel.get_xlabel()


def test_a_line_of_the_page_goes_down_to_its_axis_where_it_leaves_it():
    stops = run("cmaes", 0.0).curve
    stops.losses[:] = [*np.linspace(1, 0.01, 30), 0]
    made = chart({"cmaes": [stops]}, "renders", style.LOOKS, "task", {"cmaes": 0.0})
    last = made.bands[0].median.split()[-1].split(",")
    assert float(last[1]) == made.frame.height - made.frame.bottom and "CMA-ES 0" in made.below


def test_at_most_six_lines_are_in_colour_and_ours_are_among_them():
    names = [name for name in style.LOOKS if name not in ("zerograds", "zerograds-paper")][:9]
    runs = [run(name, 0.1 * (place + 1)) for place, name in enumerate(names)]
    figure = drawn([*runs, run("zerograds", 0.99), run("zerograds-paper", 0.999)])
    colours = [to_hex(line.get_color()) for line in figure.axes[0].lines]
    assert len(colours) - colours.count(style.FAINT) == SIX
    assert {style.INK, style.RED} <= set(colours)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == SIX + 1 and legend[-1] == OTHERS


def test_the_axis_begins_where_something_happens_and_reaches_the_goal():
    figure = drawn([run("es", 1e-3, 100.0), run("zerograds-paper", 0.1, 200.0)], Goal(50_000, 0.1, "published ends"))
    first, last = figure.axes[0].get_xlim()
    assert 50 < first < 100 and last > 50_000
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert {to_hex(line.get_color()) for line in points} == {style.LOOKS["es"].colour, style.RED}
    assert all(line.get_ydata()[0] == 0.1 for line in points)


def test_a_method_looks_the_same_in_every_figure_and_no_two_look_alike():
    some, more = style.looks(["es", "zerograds"]), style.looks([*style.LOOKS, "somebodys", "another"])
    assert all(more[name] == look for name, look in some.items())
    assert len(set(more.values())) == len(more)


def test_all_text_has_at_least_seven_points_at_the_width_of_a_page():
    import matplotlib

    with matplotlib.rc_context(style.FONT):
        figure = drawn([run("cmaes", 8e-28), run("es", 0.1)], Goal(5000, 0.1, "published ends"))
        figure.draw_without_rendering()
    sizes = [text.get_fontsize() for text in figure.findobj(lambda item: hasattr(item, "get_fontsize"))]
    assert figure.get_figwidth() <= style.WIDTH and min(sizes) >= style.SMALL == 7
