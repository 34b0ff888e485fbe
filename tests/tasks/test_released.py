"""The experiments as in the released code, against numbers computed from their formulas; and that ours stay ours."""

import math

import numpy as np
import pytest
import torch

from tasks.led_display import LedDisplay, coupled
from tasks.mlp import Mlp
from tasks.rosenbrock import Rosenbrock
from tests.tasks.blender import needs_blender
from tests.tasks.golden import built
from zg.config.compose import compose, read_yaml
from zg.config.registry import CONFIGS


def test_the_released_rosenbrock_is_the_mean_square_of_a_picture_filled_with_the_function():
    ours, released = built(Rosenbrock()), built(Rosenbrock(released=True))
    x = torch.tensor([[-1.0, 2.0], [1.2, 1.66], [1.0, 1.0]], dtype=torch.float64)
    values = [100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in x.tolist()]
    pictures = np.multiply.outer(values, np.ones((8, 8)))
    assert ours.render(x).tolist() == pytest.approx(values)
    assert released.render(x).tolist() == pytest.approx((pictures**2).mean((1, 2)).tolist())
    assert released.render(x)[0] == pytest.approx(104**2)
    assert torch.equal(ours.space.init, released.space.init)


def test_the_gradient_of_the_released_rosenbrock_is_its_difference():
    released, x, step = built(Rosenbrock(released=True)), torch.tensor([-0.7, 1.4], dtype=torch.float64), 1e-6
    sides = [x + sign * step * torch.eye(2, dtype=torch.float64) for sign in (1, -1)]
    above, below = (released.render(side) for side in sides)
    assert released.true_gradient(x).tolist() == pytest.approx(((above - below) / (2 * step)).tolist(), rel=1e-5)


def test_the_released_network_has_an_input_in_0_to_1_and_the_same_start():
    ours, released = built(Mlp()), built(Mlp(released=True))
    assert 0 <= released.input.min() < 0.05 and 0.95 < released.input.max() < 1
    assert float(released.input.mean()) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 256))
    assert ours.input.min() < -1
    assert torch.equal(ours.space.init, released.space.init)
    assert torch.equal(ours.reference(), released.reference())


def test_only_the_first_39_released_values_act_each_on_up_to_12_lamps():
    x = torch.full((337, 336), 0.5, dtype=torch.float64)
    x[range(336), range(336)] = 1.0
    lamps = coupled(x).reshape(337, 12, 28)
    assert [int(lit.sum()) for lit in lamps] == [min(k + 1, 39 - k, 12) if k < 39 else 0 for k in range(336)] + [0]
    assert all(lamps[30, cell, 30 - cell] == 1 for cell in range(3, 12))


def test_a_released_lamp_is_on_where_2x_minus_1_rounds_to_1():
    values = torch.tensor([-3.0, 0.0, 0.5, 0.74, 0.76, 1.0, 9.0], dtype=torch.float64)
    assert coupled(values[:, None].expand(-1, 336))[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_the_released_display_starts_even_in_0_to_1_without_bounds():
    start = LedDisplay(released=True).start()
    assert not start.bounded and not start.any_discrete
    assert 0 <= start.init.min() < 0.05 and 0.95 < start.init.max() < 1


@needs_blender
def test_the_released_display_shows_a_random_pattern_of_coupled_lamps():
    task = built(LedDisplay(released=True, workers=1))
    pattern = task.pattern()
    assert task.solution is None
    assert torch.equal(task.render(pattern[None])[0], task.reference())
    assert task.metrics(pattern, task.reference()) == {"lamps_right": 1.0}
    assert task.metrics(task.space.init, task.reference())["lamps_right"] < 0.8
    task.close()


@pytest.mark.parametrize("name", ["rosenbrock", "mlp", "caustic", "led_display"])
def test_the_published_setting_has_the_released_experiment(name):
    published = compose(read_yaml(CONFIGS / "paper" / f"{name}.yaml"))["data"]
    assert published["init_args"]["released"] is True
    variant = "caustic512" if name == "caustic" else name
    assert published == compose(read_yaml(CONFIGS / f"{variant}_released.yaml"))["data"]
