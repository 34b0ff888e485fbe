"""Pictures and videos: their pixels, and their files."""

import gc

import imageio.v3 as imageio
import pytest
import torch
from matplotlib import pyplot
from PIL import Image, ImageSequence

from zg.pictures import (
    GAP,
    HEADING,
    MIN_HEIGHT,
    colours,
    enlarge,
    from_figure,
    headings,
    one_plot,
    panel,
    parameter_map,
    read_png,
    srgb,
    stacked,
    surrogate_row,
    to_display,
    write_png,
    write_video,
)


def grey(level, height=4, width=4):
    return torch.full((1, height, width), float(level))


def test_grey_becomes_three_equal_channels():
    assert torch.equal(to_display(grey(0.25), linear=False), torch.full((3, 4, 4), 0.25))


def test_the_first_three_channels_of_an_image_are_shown():
    image = torch.arange(5.0)[:, None, None].expand(-1, 2, 2) / 8
    assert to_display(image, linear=False)[:, 0, 0].tolist() == [0, 0.125, 0.25]
    assert to_display(image[1:3], linear=False)[:, 0, 0].tolist() == [0.125, 0.25, 0]


def test_views_stand_side_by_side():
    views = torch.stack([grey(0.2, 4, 3), grey(0.8, 4, 3)])
    picture = to_display(views, linear=False)
    assert picture.shape == (3, 4, 6)
    assert (picture[:, :, :3] == 0.2).all() and (picture[:, :, 3:] == 0.8).all()


def test_values_outside_zero_to_one_become_black_or_white():
    image = torch.tensor([[[-1.0, 2.0, torch.nan, torch.inf, -torch.inf]]])
    assert to_display(image, linear=False)[0, 0].tolist() == [0, 1, 0, 1, 0]


def test_a_picture_is_float32_without_gradient():
    picture = to_display(grey(0.5).double().requires_grad_(), linear=True)
    assert picture.dtype == torch.float32 and not picture.requires_grad


@pytest.mark.parametrize(("radiance", "shown"), [(0.0, 0.0), (0.002, 0.02584), (0.214041, 0.5), (1.0, 1.0)])
def test_linear_radiance_is_shown_through_the_srgb_curve(radiance, shown):
    assert float(to_display(grey(radiance), linear=True)[0, 0, 0]) == pytest.approx(shown, abs=1e-5)


def test_the_srgb_curve_is_continuous():
    below, above = srgb(torch.tensor([0.0031308, 0.0031309]))
    assert 0 < float(above - below) < 1e-5


@pytest.mark.parametrize(("height", "factor"), [(16, 12), (100, 2), (MIN_HEIGHT, 1), (500, 1)])
def test_small_pictures_are_enlarged_by_an_integer_factor(height, factor):
    picture = torch.rand(3, height, 5, generator=torch.Generator().manual_seed(0))
    larger = enlarge(picture)
    assert larger.shape == (3, height * factor, 5 * factor)
    assert torch.equal(larger[:, ::factor, ::factor], picture)
    assert torch.equal(larger[:, factor - 1 :: factor, factor - 1 :: factor], picture)


def test_a_panel_shows_render_reference_and_their_difference_under_headings():
    render, reference = grey(0.5, 192, 200), grey(0.5, 192, 200)
    render[:, :, 100:] = 0.75
    render[:, 96:, 100:] = 1.0
    shown = panel(render, reference, linear=False)
    assert shown.shape == (3, HEADING + 192, 3 * 200 + 2 * GAP)
    below = shown[:, HEADING:]
    assert torch.equal(below[:, :, :200], render.expand(3, -1, -1))
    assert torch.equal(below[:, :, 200 + GAP : 400 + GAP], reference.expand(3, -1, -1))
    assert (below[:, :, 200 : 200 + GAP] == 1).all()
    error = below[:, :, 400 + 2 * GAP :]
    assert (error[:, :, :100] == 0).all(), "black where both agree"
    assert (error[:, :96, 100:] == 0.5).all(), "twice the difference"
    assert (error[:, 96:, 100:] == 1).all(), "white from 0.5 on"


def test_below_the_panel_is_what_was_predicted_and_where_it_was_wrong():
    render, predicted = grey(0.5, 192, 200), grey(0.25, 192, 200)
    below = surrogate_row(render, predicted, None, linear=False)
    shown = below[:, HEADING:]
    assert torch.equal(shown[:, :, :200], predicted.expand(3, -1, -1))
    assert (shown[:, :, 200 + GAP : 400 + GAP] == 1).all(), "white where nothing is known"
    assert (shown[:, :, 400 + 2 * GAP :] == 0.5).all(), "twice the difference, as in the panel"
    both = stacked(torch.zeros(3, 10, 100), below)
    assert both.shape == (3, 10 + HEADING + 192, 600 + 2 * GAP)
    assert (both[:, :10, 100:] == 1).all(), "the narrower one has white on its right"


def test_a_map_shows_the_colour_of_the_parameter_that_moves_a_pixel_as_bright_as_it_is_moved():
    hues = colours(3)
    assert hues.shape == (3, 3) and float(torch.pdist(colours(60)).min()) > 0.04, "all are distinct"
    moved = torch.tensor([[[1.0, 0.25, 0.0]], [[0.0, 0.25, 0.0]]])  # 2 views of 1 × 3 pixels
    weights = torch.cat([hues, torch.ones(3, 1)], 1)
    influence = torch.stack([moved * float(w) for w in weights[1]])[:, :, None]  # parameter 1 moves everything
    shown = parameter_map(influence)
    assert shown.shape == (3, 1, 6), "views side by side"
    assert torch.allclose(shown[:, 0, 0], hues[1]) and torch.allclose(shown[:, 0, 1], hues[1] / 2)
    assert (shown[:, 0, 2] == 0).all(), "black where nothing moves it"
    assert (parameter_map(torch.zeros(4, 1, 2, 2)) == 0).all()


def test_headings_are_centred_over_their_pictures():
    line = headings(("left", "right"), 200)
    assert line.shape == (3, HEADING, 400 + GAP)
    for start in (0, 200 + GAP):
        dark = (line[0, :, start : start + 200] < 0.5).any(0).nonzero()[:, 0].float()
        assert float(dark.mean()) == pytest.approx(100, abs=8)
    assert (line[:, :, 200 : 200 + GAP] == 1).all()


def test_a_figure_becomes_a_picture_and_is_not_open_in_pyplot():
    figure, axes = one_plot()
    axes.plot([0, 1], [0, 1])
    picture = from_figure(figure)
    assert picture.shape == (3, 480, 640)
    assert 0 <= float(picture.min()) < 0.5 < float(picture.max()) <= 1
    assert not pyplot.get_fignums()


def test_a_png_read_again_is_the_picture_that_was_written(tmp_path):
    picture = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    write_png(tmp_path / "picture", picture)
    assert (read_png(tmp_path / "picture") - picture).abs().max() <= 0.5 / 255 + 1e-6


def test_a_png_clips_values_to_black_and_white(tmp_path):
    write_png(tmp_path / "picture.png", torch.tensor([-3.0, 9.0]).expand(3, 1, 2))
    assert read_png(tmp_path / "picture.png")[0, 0].tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_video_has_every_frame_as_mp4_and_as_gif(tmp_path):
    frames = [torch.full((3, 20, 30), level) for level in (0.0, 0.5, 1.0)]
    write_video(frames, tmp_path / "video")
    film = imageio.imread(tmp_path / "video.mp4")
    gc.collect()  # imageio leaves its pipes to ffmpeg open
    assert film.shape == (3, 32, 32, 3), "padded to a multiple of 16"
    assert film[:, 10, 10, 0] == pytest.approx([0, 128, 255], abs=6)
    assert (film[2, 25:] < 20).all(), "black beside the frame"
    gif = imageio.imread(tmp_path / "video.gif")
    assert gif.shape[:3] == (3, 20, 30)
    assert gif[:, 10, 10, 0] == pytest.approx([0, 128, 255], abs=6)


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("frames", "seconds"), [(1, 6), (3, 6), (41, 6), (70, 7)])
def test_a_video_lasts_at_least_six_seconds(tmp_path, frames, seconds):
    write_video([torch.full((3, 8, 16), k / frames) for k in range(frames)], tmp_path / "video")
    film = imageio.immeta(tmp_path / "video.mp4")
    gc.collect()
    with Image.open(tmp_path / "video.gif") as gif:
        shown = sum(frame.info["duration"] for frame in ImageSequence.Iterator(gif)) / 1000
    assert seconds <= shown < 1.1 * seconds
    assert seconds <= round(film["duration"], 2) < 1.1 * seconds


def test_a_smaller_frame_of_a_video_has_white_below(tmp_path):
    write_video([torch.zeros(3, 10, 30), torch.zeros(3, 20, 30)], tmp_path / "video")
    gif = imageio.imread(tmp_path / "video.gif")
    assert gif.shape[:3] == (2, 20, 30)
    assert (gif[0, :10] == 0).all() and (gif[0, 10:] == 255).all() and (gif[1] == 0).all()
