"""Figures of a run: the curve with its ends and zeros, and the images with their errors."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from zg.pictures import read_png
from zg.run.figures import DECADES, ROUNDING, STEP, Drawing, draw_curve, draw_images, png_of, write_curve
from zg.run.images import Images


def records(losses, **columns):
    rows = [{"renders": 10.0**k if k else 0, "loss": loss} for k, loss in enumerate(losses)]
    return [row | {name: values[k] for name, values in columns.items()} for k, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.1, 1e-9], "log"),
        ([1.0, 0.1, 0.0], "symlog"),
        ([1.0, -0.1, 0.0], "linear"),
        ([-1.0, -2.0, -3.0], "linear"),
        ([0.0] * 3, "linear"),
    ],
)
def test_a_curve_is_drawn_with_losses_that_have_no_logarithm(losses, scale):
    figure = draw_curve(records(losses))
    axes = figure.axes[0]
    assert axes.get_yscale() == scale
    figure.canvas.draw()
    low, high = axes.transData.inverted().transform(axes.transAxes.transform([(0, 0), (0, 1)]))[:, 1]
    assert all(low < loss < high for loss in losses), "every loss, 0 too, is inside the axes"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"start {losses[0]:.3g}",
        f"end {losses[-1]:.3g}",
    ]


def test_zero_stands_at_a_tick_that_says_zero():
    axes = draw_curve(records([1.0, 1e-3, 0.0])).axes[0]
    axes.figure.canvas.draw()
    said = dict(zip(axes.get_yticks(), [tick.get_text() for tick in axes.get_yticklabels()], strict=True))
    assert "0" in said[0.0]


def test_sigma_and_noise_are_drawn_beneath_where_they_are_known():
    assert len(draw_curve(records([3.0, 2.0])).axes) == 1
    below = draw_curve(records([3.0, 2.0, 1.0], sigma=[1.0, 0.1, 1 / (2 * DECADES)], noise=[0.2, 0.1, 0.1])).axes[1:]
    assert [axes.get_ylabel() for axes in below] == ["σ, scaled units", "noise of loss"]
    assert [axes.get_yscale() for axes in below] == ["log", "linear"]


def test_without_measured_losses_the_curve_is_the_lowest_loss_so_far():
    rows = [{"renders": 1, "best_loss": 2.0}, {"renders": 9, "best_loss": 1.0}]
    assert draw_curve(rows).axes[0].get_ylabel() == "lowest loss so far"
    assert "no loss" in draw_curve([{"renders": 0}]).axes[0].texts[0].get_text()


def test_a_curve_is_written_as_a_picture(tmp_path):
    write_curve(tmp_path / "curve.png", records([1.0, 0.1]))
    assert read_png(tmp_path / "curve.png").shape == (3, 340, 640)


def test_images_are_shown_with_the_scale_of_their_error():
    black, grey = torch.zeros(3, 4, 6), torch.full((3, 4, 6), 0.25)
    figure = draw_images(Images(render=grey, start=black, reference=black))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["start", "render", "reference", "error: |render − reference|"]
    error = figure.axes[3].images[0]
    assert np.allclose(error.get_array(), 0.25)
    assert error.colorbar is not None and error.get_clim() == (0, 0.25)


def test_the_axis_of_renders_begins_where_the_loss_first_changes():
    axes = draw_curve(records([2.0, 2.0, 2.0, 1.0, 0.5], sigma=[0.1] * 5)).axes
    assert axes[0].lines[0].get_xdata().tolist() == [100, 1000, 10000]
    assert axes[0].get_xlim()[0] == axes[1].get_xlim()[0] == pytest.approx(80)
    assert draw_curve(records([2.0, 2.0])).axes[0].get_xlim()[0] <= 1, "it has not changed"


def test_errors_that_nobody_sees_are_black():
    black = torch.zeros(3, 4, 6)
    for error, title in ((2e-9, "error: at most 2e-09"), (0.0, "error: 0 everywhere")):
        axes = draw_images(Images(render=black + error, start=black, reference=black)).axes[3]
        assert axes.get_title() == title
        assert axes.images[0].get_clim() == (0, STEP), "not the largest error"


def test_no_title_is_outside_a_figure_of_the_caller_that_has_no_layout():
    square, figure = torch.zeros(3, 8, 8), Figure((8, 1.2))
    assert png_of(draw_images(Images(square + 0.3, square, square), figure)), "drawing lays it out"
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert max(box.y1 for box in boxes) <= figure.bbox.y1 and min(box.x0 for box in boxes) >= 0
    mine = Figure(layout="tight")
    assert type(draw_curve(records([1.0, 0.1]), mine).get_layout_engine()).__name__ == "TightLayoutEngine"


def test_the_axis_of_sigma_ends_where_no_parameter_moves():
    below = draw_curve(records([3.0, 2.0, 1.0], sigma=[1.0, 0.1, 1e-129])).axes[1]
    assert below.get_ylim()[0] == pytest.approx(ROUNDING)


def test_what_a_surrogate_of_the_picture_knows_is_shown_too():
    image = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    images = Images(image, image, image, predicted=image + 0.1, parameters=torch.ones(3, 5, 5))
    titles = [axes.get_title() for axes in draw_images(images).axes if axes.get_title()]
    assert titles[-3:] == [
        "predicted before the render",
        "error of the prediction",
        "which parameter moves which pixel",
    ]
    shown = [axes for axes in draw_images(images).axes if axes.axison]
    assert all(axes.images or axes.collections for axes in shown), "an empty place has no axes"


def test_views_stand_side_by_side_and_a_figure_of_the_caller_is_drawn_on():
    views, mine = torch.zeros(2, 3, 4, 4), Drawing(3, 3)
    assert draw_images(Images(views, views), mine) is mine
    assert mine.axes[0].images[0].get_array().shape[:2] == (4, 8)
    assert png_of(mine) == mine._repr_png_()
    assert png_of(mine).startswith(b"\x89PNG")
