import pytest
import torch

from tasks.procedural import Procedural, ramp, stripes
from tests.tasks.golden import built
from zg.errors import SettingError


@pytest.fixture(scope="module")
def procedural():
    return built(Procedural(size=60))


def with_values(task, **values):
    """The hidden parameters [1, n] with some of them replaced."""
    parts = {name: part.clone() for name, part in task.space.split(task.solution[None]).items()}
    for name, value in values.items():
        parts[name] = torch.as_tensor(value, dtype=torch.float64).expand_as(parts[name])
    return task.space.join(parts)


def test_integers_and_stripes_have_no_gradient_and_all_others_have_one(procedural):
    x = with_values(procedural).requires_grad_()
    weights = torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((procedural.render(x)[0] * weights).sum(), x)
    parts = procedural.space.split(slope)
    flat = {name for name, part in parts.items() if (part == 0).all()}
    assert flat == {"octaves", "stripes", "stripe_angle", "stripe_width"}


def test_noise_is_zero_on_the_lattice_bounded_and_smooth(procedural):
    corners = torch.cartesian_prod(torch.arange(-5.0, 6), torch.arange(-5.0, 6))[None]
    assert (procedural.noise(corners) == 0).all()
    generator = torch.Generator().manual_seed(0)
    place = 100 * torch.rand(1, 20000, 2, generator=generator)
    noise = procedural.noise(place)
    assert 0.4 < noise.abs().max() <= 0.5**0.5 + 1e-4
    assert noise.mean().abs() < 0.02
    assert (procedural.noise(place + 1e-3) - noise).abs().max() < 0.01


def test_noise_repeats_after_64_lattice_cells(procedural):
    place = torch.rand(1, 100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(procedural.noise(place), procedural.noise(place + 64), atol=1e-6)


def test_octaves_add_detail(procedural):
    def detail(octaves):
        part = procedural.space.split(with_values(procedural, octaves=octaves).float())
        noise = procedural.octaves(procedural.pixels[None], part).reshape(60, 60)
        return float(noise.diff().abs().mean() / noise.std())

    assert detail(1) < detail(2) < detail(4)


def test_stripes_have_the_given_count_and_width():
    across = (torch.arange(1000) + 0.5) / 1000
    place = torch.stack([across, torch.full((1000,), 0.3)], -1)[None]
    part = {"stripe_angle": 0.0, "stripes": 8.0, "stripe_width": 0.3}
    lit = stripes(place, {name: torch.tensor([[value]]) for name, value in part.items()})[0]
    assert lit.mean() == pytest.approx(0.3, abs=0.01)
    assert (lit.diff() > 0).sum() == 7  # the eighth stripe is cut by the border


def test_the_ramp_has_its_three_colours_at_0_middle_and_1():
    colours = torch.tensor([[[0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [1.0, 0.9, 0.8]]])
    height = torch.tensor([[-1.0, 0.0, 0.2, 0.4, 0.7, 1.0, 2.0]])
    seen = ramp(height, torch.tensor([[0.4]]), colours)[0]
    assert torch.allclose(seen[[0, 1]], colours[0, [0, 0]])
    assert torch.allclose(seen[2], colours[0, :2].mean(0))
    assert torch.allclose(seen[3], colours[0, 1])
    assert torch.allclose(seen[4], colours[0, 1:].mean(0))
    assert torch.allclose(seen[[5, 6]], colours[0, [2, 2]])


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": 513}, {"far": 0.0}, {"loss": "pyramid"}])
def test_a_wrong_setting_raises_an_error_of_one_line(settings):
    with pytest.raises(SettingError, match=next(iter(settings))) as raised:
        built(Procedural(**settings))
    assert "\n" not in str(raised.value)
