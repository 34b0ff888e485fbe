import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from tasks.caustic import WHITE_QUANTILE, Caustic, spline_basis
from tasks.shapes import SHAPES, draw_shape
from tests.tasks.golden import DEVICES, built
from zg.errors import SettingError

double = torch.float64


def bumpy(task, batch=3, height=0.5):
    generator = torch.Generator().manual_seed(2)
    return height * torch.randn(batch, task.space.n, generator=generator, dtype=double).to(task.device)


def test_the_derivatives_of_the_spline_are_its_finite_differences():
    at = torch.linspace(-0.99, 0.99, 57, dtype=double)
    h = 1e-5
    _, slopes = spline_basis(at, 9)
    above, below = (spline_basis(at + side, 9)[0] for side in (h, -h))
    assert torch.allclose(slopes, (above - below) / (2 * h), atol=1e-6)


def test_the_derivatives_of_the_surface_are_its_finite_differences():
    task = built(Caustic(control_points=6, size=8, photons=400))
    height, across, down = task.surface(bumpy(task, 1))
    spacing = 2 / 400
    assert torch.allclose(across[..., 1:-1], (height[..., 2:] - height[..., :-2]) / (2 * spacing), atol=2e-3)
    assert torch.allclose(down[:, 1:-1], (height[:, 2:] - height[:, :-2]) / (2 * spacing), atol=2e-3)
    assert across.abs().max() > 0.1


def test_the_spline_reproduces_constants_and_straight_lines():
    at = torch.linspace(-1, 1, 31, dtype=double)
    values, slopes = spline_basis(at, 7)
    # Centres of the basis functions: one span apart, and one outside the interval on each side.
    middles = (torch.arange(7, dtype=double) - 1) * 2 / 4 - 1
    assert torch.allclose(values.sum(1), torch.ones(31, dtype=double))
    assert torch.allclose(values @ middles, at)
    assert torch.allclose(slopes @ middles, torch.ones(31, dtype=double))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("height", [-1.0, 0.0, 0.7])
def test_a_flat_surface_sends_one_photon_to_each_pixel(device, height):
    task = built(Caustic(size=32), device=device)
    x = torch.full((2, task.space.n), height, dtype=double, device=device)
    counts, lost = task.count(*task.trace(x))
    assert (counts == 1).all()
    assert (lost == 0).all()
    assert (task.render(x) == 1).all()


def test_a_dome_gathers_light_and_a_bowl_spreads_it():
    task = built(Caustic(control_points=8, size=16, photons=128))
    at = torch.linspace(-1, 1, 8, dtype=double)
    bowl = (at[:, None].square() + at.square()).reshape(1, -1)
    counts, _ = task.count(*task.trace(torch.cat([-bowl, bowl])))
    dome_middle, bowl_middle = counts[:, 4:12, 4:12].sum((1, 2)) / 128**2
    assert bowl_middle < 0.22 < 0.26 < dome_middle  # a quarter of the area


@pytest.mark.parametrize(("released", "eta", "flatter"), [(False, 1 / 1.33, 1), (True, 1.33, 2)])
def test_photons_are_refracted_by_snells_law(released, eta, flatter):
    """The normal is (−dx, −dy, flatter), scaled to length 1; the released one has half the slope."""
    task = built(Caustic(control_points=6, size=8, photons=20, released=released))
    x = bumpy(task, 2, height=2.0)
    height, across, down = (part.to(double) for part in task.surface(x))
    normal = torch.stack([-across * flatter, -down * flatter, torch.full_like(across, flatter)], -1)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    cos_in = normal[..., 2:]
    cos_out = (1 - eta**2 * (1 - cos_in**2)).sqrt()
    ray = eta * torch.tensor([0.0, 0.0, -1.0], dtype=double) + (eta * cos_in - cos_out) * normal
    way = height / -ray[..., 2]
    landed = task.trace(x)
    assert (landed[0] - (task.at + way * ray[..., 0])).nan_to_num().abs().max() < 1e-5
    assert (landed[1] - (task.at[:, None] + way * ray[..., 1])).nan_to_num().abs().max() < 1e-5
    assert across.abs().max() > 1 / flatter


def test_the_released_surface_is_a_cubic_spline_of_31_intervals_and_half_its_slope():
    """Against SciPy's B-spline, with the outermost control points repeated once."""
    task = built(Caustic(size=8, photons=9, released=True))
    knots = np.arange(-3, 31 + 4) * 2 / 31 - 1
    points = task.space.init.reshape(32, 32).numpy()
    padded = np.pad(points, 1, mode="edge")
    along = BSpline(knots, padded, 3, axis=1)  # a column is a place to the right
    at = np.linspace(-1, 1, 9)
    height = 0.75 + 0.25 * BSpline(knots, along(at), 3, axis=0)(at)
    across = 0.25 * BSpline(knots, along.derivative()(at), 3, axis=0)(at)
    found = task.surface(task.space.init[None])
    assert found[0][0].numpy() == pytest.approx(height, abs=1e-5)
    assert 2 * found[1][0].numpy() == pytest.approx(across, abs=1e-4)


def test_the_released_photons_go_the_other_way_and_less_far():
    ours, theirs = (built(Caustic(size=8, released=released)) for released in (False, True))
    tilted = 0.05 * torch.linspace(0, 1, 32, dtype=double).expand(32, 32).reshape(1, -1)
    moved = [(task.trace(tilted)[0] - task.at)[0, 4, 4] for task in (ours, theirs)]
    assert moved[0] > 0 > moved[1]
    assert -moved[0] / moved[1] == pytest.approx((1 - 1 / 1.33) / (0.33 / 2) * 29 / 31, rel=0.01)


def test_the_released_start_counts_and_white_point():
    task = built(Caustic("word", released=True))
    start = task.space.init
    assert float(start.mean()) == pytest.approx(0.5, abs=0.01) and float(start.std()) == pytest.approx(0.05, rel=0.1)
    assert not task.space.bounded
    assert (task.at[0], task.at[-1]) == (-1, 1)
    x = task.space.to_user(start)[None]
    landed = [place[0].flatten().numpy() for place in task.trace(x)]
    edges = [np.arange(-1, 128) * 2 / 128 - 1] * 2  # a bin counts what falls into the one before it
    counts = np.histogram2d(landed[1], landed[0], bins=edges)[0]
    image = np.clip(counts / np.quantile(counts, WHITE_QUANTILE), 0, 1)
    assert np.abs(task.render(x)[0, 0].numpy() - image).mean() < 1e-3


def test_light_that_is_reflected_totally_is_lost():
    task = built(Caustic(control_points=6, size=8, photons=20, released=True))
    steep = bumpy(task, 1, height=20.0)
    counts, lost = task.count(*task.trace(steep))
    assert task.trace(steep)[0].isnan().any()
    assert counts.sum() + lost == 20**2


@pytest.mark.parametrize("device", DEVICES)
def test_photons_are_conserved(device):
    task = built(Caustic(control_points=8, size=24, photons=50), device=device)
    counts, lost = task.count(*task.trace(bumpy(task, 4, height=2.0)))
    assert (counts.sum((1, 2)) + lost == 50**2).all()
    assert (lost > 0).all()


def test_the_image_has_no_gradient():
    task = built(Caustic(control_points=8, size=16))
    assert not task.render(bumpy(task).requires_grad_()).requires_grad


def test_between_half_a_percent_and_five_percent_of_the_pixels_are_white():
    task = built(Caustic())
    image = task.render(task.space.to_user(task.space.init)[None])
    assert 0.005 <= (image == 1).double().mean() < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_cover_a_part_of_the_image_and_leave_its_border_black(shape):
    image = draw_shape(shape, 64)
    assert image.shape == (1, 64, 64)
    assert 0.1 < image.mean() < 0.5
    assert image[:, [0, -1]].max() == 0


def test_a_reference_may_be_an_image():
    assert built(Caustic("camera", size=32)).reference().shape == (1, 32, 32)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"reference": "rign"}, "reference must be ring, letter, star, word, an image file .*; did you mean .ring."),
        ({"control_points": 3}, "control_points must be from 4 to 256, got 3"),
        ({"size": 513}, "size must be from 1 to 512, got 513"),
        ({"photons": 0}, "photons must be from 1 to 512, got 0"),
        ({"loss": "msee"}, "did you mean 'mse'"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(settings, message):
    with pytest.raises(SettingError, match=message) as raised:
        built(Caustic(**settings))
    assert "\n" not in str(raised.value)
