"""σ and pairs that nobody sets: known answers, the budget, noise, and a resumed training."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import zg
from tests.zg.layer.renderers import PIXELS, hard, smooth
from zg.layer.calibration import RENDERS, SPARED, START, best_pairs


def step(layer: zg.Layer, n: int, seed: int, width: float = 0.5, batch: int = 32) -> Tensor:
    """One forward and backward step of random rows."""
    generator = torch.Generator().manual_seed(seed)
    x = (width * torch.randn(batch, n, generator=generator, dtype=torch.float64)).requires_grad_()
    images = layer(x)
    images.backward(torch.randn(images.shape, generator=generator, dtype=images.dtype))
    assert x.grad is not None
    return x.grad


def measured_sigma(render: Callable[[Tensor], Tensor], n: int = 6) -> float:
    layer = zg.Layer(render, estimator="sampled", pairs=1, batched=True, tensors=True)
    step(layer, n, seed=0)
    return layer.status()["sigma"]


def waves(frequency: float) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.sin(frequency * x.double())


def test_sigma_follows_the_scale_on_which_the_image_bends() -> None:
    found = [measured_sigma(waves(2.0**power)) for power in (1, 3, 5)]
    assert found == [found[0], found[0] / 4, found[0] / 16] and 0.25 <= found[0] <= 1
    assert measured_sigma(lambda x: x @ torch.ones(6, 9).double()) == 1, "a line has no scale"


def test_sigma_stays_above_noise_and_above_the_distance_of_hard_edges() -> None:
    noise = torch.Generator().manual_seed(4)
    noisy = measured_sigma(lambda x: smooth(x) + 0.05 * torch.randn(len(x), PIXELS, generator=noise))
    assert 0.125 <= noisy <= 1
    assert 0.125 <= measured_sigma(hard) <= 1


def test_a_renderer_that_does_not_change_keeps_sigma_and_failed_renders_are_left_out() -> None:
    assert measured_sigma(lambda x: torch.ones(len(x), 4)) == START

    def render(x: Tensor) -> Tensor:
        images = torch.sin(8 * x)
        images[(x[:, 0] * 1e6).long() % 50 == 0] = torch.nan
        return images

    assert 0.5 <= measured_sigma(render) / measured_sigma(waves(8.0)) <= 2


@pytest.mark.parametrize(
    ("n", "explained", "pairs"), [(1, 0.0, 1), (8, 0.0, 2), (30, 0.0, 4), (30, 0.9, 1), (8, -1.0, 2), (9999, 0.0, 16)]
)
def test_pairs_grow_with_the_parameters_and_fall_with_what_is_explained(n: int, explained: float, pairs: int) -> None:
    assert best_pairs(n, explained) == pairs


def test_every_render_of_a_calibration_is_counted_and_fits_the_budget() -> None:
    layer = zg.Layer(smooth, estimator="sampled", batched=True, tensors=True, max_renders=SPARED * RENDERS)
    first = 4 + 2 * 4 * 2 + RENDERS
    step(layer, 8, seed=0, batch=4)
    assert layer.renders == first == 4 + 16 + 512
    step(layer, 8, seed=1, batch=4)
    assert layer.renders == first + 4 + 2 * 4 * 2, "σ is measured again only after many renders"
    small = zg.Layer(smooth, estimator="sampled", batched=True, tensors=True, max_renders=100)
    step(small, 8, seed=0, batch=4)
    assert small.renders == 20 and small.status()["sigma"] == START


def test_a_resumed_layer_measures_sigma_at_the_same_step_with_the_same_bits() -> None:
    layer = zg.Layer(smooth, options={"hidden": 8, "fit_steps": 1, "fit_batch": 8}, batched=True, tensors=True)
    step(layer, 6, seed=0, batch=2)
    layer.estimator.calibration.spent = SPARED * RENDERS - 1
    state, whole = copy.deepcopy(layer.state_dict()), [step(layer, 6, seed, batch=2) for seed in (1, 2, 3)]
    resumed = zg.Layer(smooth, options={"hidden": 8, "fit_steps": 1, "fit_batch": 8}, batched=True, tensors=True)
    resumed.load_state_dict(state)
    again = [step(resumed, 6, seed, batch=2) for seed in (1, 2, 3)]
    assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=True))
    assert resumed.status()["sigma"] == layer.status()["sigma"] and resumed.renders == layer.renders
    assert layer.renders > 2 * RENDERS, "σ was measured twice"
