import pytest
import torch

from tasks.caustic import ETA, Caustic, spline_basis
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


def test_photons_are_refracted_by_snells_law():
    task = built(Caustic(control_points=6, size=8, photons=20))
    x = bumpy(task, 2, height=2.0)
    height, across, down = (part.to(double) for part in task.surface(x))
    normal = torch.stack([-across, -down, torch.ones_like(across)], -1)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    cos_in = normal[..., 2:]
    cos_out = (1 - ETA**2 * (1 - cos_in**2)).sqrt()
    ray = ETA * torch.tensor([0.0, 0.0, -1.0], dtype=double) + (ETA * cos_in - cos_out) * normal
    way = height / -ray[..., 2]
    landed = task.trace(x)
    assert (landed[0] - (task.at + way * ray[..., 0])).abs().max() < 1e-5
    assert (landed[1] - (task.at[:, None] + way * ray[..., 1])).abs().max() < 1e-5
    assert across.abs().max() > 1


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
        ({"reference": "rign"}, "reference must be ring, letter, star, an image file .*; did you mean .ring."),
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
