"""The sketched gradient: renders to a target, invariance, failed renders and noise, resuming, ablations, memory."""

import io
from itertools import pairwise
from typing import Any

import pytest
import torch

from tasks.mlp import Mlp
from tasks.texture import Texture
from tests.problems import HighSphere, NoisySphere, Quadratic, Steps, Turned
from zg.budget import Budget
from zg.problem import Problem
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.zerograds.method import ZeroGrads
from zg.zerograds.surrogates.sketched_gradient import SketchedGradient, SketchedGradientSettings


def remaining(task, renders, seed=0, sigma=0.05):
    """The final loss / initial loss."""
    result = run(task, ZeroGrads(sigma=sigma, surrogate="sketched_gradient"), Budget(renders), seed=seed)
    return result.loss / result.row["init_loss"]


def fresh(sizes=(300,), **settings):
    """A surrogate at 0, for blocks of these sizes."""
    blocks = {f"block{number}": Block(torch.zeros(size)) for number, size in enumerate(sizes)}
    problem = Problem.of_space(ParameterSpace(blocks), seed=0, noisy=False)
    return SketchedGradient(problem, problem.space.init, 0.05, SketchedGradientSettings(**settings))


def iterate(surrogate, loss, number=0, rows=None):
    """One iteration on `loss`, which maps θ [B, n] and the iteration's number to losses [B]; `rows` cuts the batch."""
    theta = surrogate.ask()[:rows]
    losses = loss(theta, number)
    surrogate.tell(theta, losses, losses.isfinite())


def after(loss, sizes=(300,), count=20, **settings):
    """A surrogate after `count` iterations."""
    surrogate = fresh(sizes, **settings)
    for number in range(count):
        iterate(surrogate, loss, number)
    return surrogate


def bowl(theta, number=0):
    return (theta - 0.5).square().sum(1)


def uneven(theta, number=0):
    """A bowl that is a hundred times as steep along the last 200 coordinates."""
    return bowl(theta) + 99 * bowl(theta[:, -200:])


def noisy(theta, number=0):
    """A bowl with noise of a tenth of the loss, which the iteration's number draws."""
    noise = torch.randn(len(theta), generator=torch.Generator().manual_seed(number), dtype=torch.float64)
    return bowl(theta) * (1 + 0.1 * noise)


@pytest.mark.parametrize("seed", range(3))
def test_two_sweeps_leave_less_than_a_tenth_of_a_sphere(seed):
    assert remaining(HighSphere(n=500), 1000, seed) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_texture_takes_two_renders_a_pixel(seed):
    assert remaining(Texture(size=16), 2 * 768, seed) < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_a_network_takes_a_third_of_a_render_a_weight(seed):
    assert remaining(Mlp(), 10_000, seed) < 0.01


def test_a_sixth_of_a_sweep_already_lowers_the_loss():
    assert remaining(HighSphere(n=3000), 500) < 0.93


@pytest.mark.parametrize(("sigma", "seed"), [(0.005, 0), (0.005, 2), (0.05, 0), (0.5, 0)])
def test_steps_without_a_slope_are_descended(sigma, seed):
    assert remaining(Steps(), 6000, seed, sigma) < 0.02


@pytest.mark.parametrize(("sigma", "left"), [(0.005, 0.2), (0.05, 0.005), (0.5, 0.001)])
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_averaged_away_by_widening_the_radius_to_the_size_of_the_bowl(sigma, left, seed):
    result = run(NoisySphere(), ZeroGrads(sigma=sigma), Budget(10000), seed=seed)
    assert result.theta.square().mean() < left


@pytest.mark.parametrize(("loud", "left"), [(0.1, 0.05), (0.3, 1.0)])
@pytest.mark.parametrize("seed", [0, 2])
def test_noise_as_loud_as_the_loss_does_not_lead_uphill(loud, left, seed):
    task = Turned(200, loud=loud)
    theta = run(task, ZeroGrads(), Budget(8000), seed=seed).theta
    assert task.clean(theta[None]) < left * task.clean(task.space.to_user(task.space.init)[None])


@pytest.mark.parametrize("sigma", [0.005, 0.5])
def test_a_wrong_sigma_costs_less_than_twice_the_renders(sigma):
    wrong = remaining(Quadratic(n=300, condition=10.0), 1500, sigma=sigma)
    assert wrong <= remaining(Quadratic(n=300, condition=10.0), 750)


@pytest.mark.parametrize("seed", range(3))
def test_a_sigma_at_which_bounds_saturate_is_narrowed(seed):
    assert remaining(Texture(size=16), 2 * 768, seed, sigma=0.5) < 0.1


def test_after_two_sweeps_without_progress_it_goes_back_to_the_best_and_looks_nearer():
    centres, radii = [], []

    def loss(theta, number):
        centres.append(theta[0].clone())
        return bowl(theta) + 1000 * (number >= 30)  # from then on everything is worse than before

    surrogate = after(loss, count=30)
    best = surrogate.state.progress.best
    centres.clear()
    for number in range(30, 30 + 120):
        theta = surrogate.ask()
        radii.append(surrogate.state.radius.radius)
        losses = loss(theta, number)
        surrogate.tell(theta, losses, losses.isfinite())
    returned = [bool(torch.equal(centre, best)) for centre in centres]
    assert any(returned)
    assert radii[returned.index(True) + 2] < radii[returned.index(True) - 1]


def test_a_cut_block_does_not_move_theta():
    surrogate = after(bowl)
    if surrogate.state.knows_gradient:
        iterate(surrogate, bowl)  # the line along g has two rows alone
    before = surrogate.theta.clone()
    iterate(surrogate, bowl, rows=7)
    assert torch.equal(surrogate.theta, before)


@pytest.mark.parametrize("bad", ["a seventh", "every centre of three"])
def test_failed_renders_are_left_out(bad):
    def loss(theta, number):
        losses = bowl(theta)
        losses[slice(0, 2) if bad != "a seventh" and number % 3 == 1 else slice(number % 7 + 3, None, 7)] = torch.nan
        return losses

    surrogate = after(loss, count=600)
    assert surrogate.theta.isfinite().all()
    assert bowl(surrogate.recommend()[None]) < 0.1 * bowl(torch.zeros(1, 300))


def resumed(state: dict[str, Any], random: torch.Tensor, sizes):
    """A new surrogate with that state and state of the generator, both as a checkpoint holds them."""
    file = io.BytesIO()
    torch.save({"state": state, "random": random}, file)
    file.seek(0)
    saved, surrogate = torch.load(file, weights_only=True), fresh(sizes)
    surrogate.load_state_dict(saved["state"])
    surrogate.problem.generator.set_state(saved["random"])
    return surrogate


def assert_same_bits(first, second, loss, numbers):
    """Both ask for the same θ, and end at the same one."""
    for number in numbers:
        asked = first.ask(), second.ask()
        assert torch.equal(*asked)
        for surrogate, theta in zip((first, second), asked, strict=True):
            losses = loss(theta, number)
            surrogate.tell(theta, losses, losses.isfinite())
        assert torch.equal(first.theta, second.theta)
        assert first.status() == second.status() and first.sigma == second.sigma
    assert torch.equal(first.recommend(), second.recommend())
    random = [surrogate.problem.generator.get_state() for surrogate in (first, second)]
    assert torch.equal(*random)


# A sweep of 300 directions ends in iteration 13 or 15, after one batch of the calibration or three.
PLACES = [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize("loss", [uneven, noisy])
@pytest.mark.parametrize("sizes", [(300,), (100, 200)])
@pytest.mark.parametrize("count", PLACES)
def test_resumed_between_two_iterations_it_goes_on_with_the_same_bits(loss, sizes, count):
    first = after(loss, sizes, count)
    second = resumed(first.state_dict(), first.problem.generator.get_state(), sizes)
    assert_same_bits(first, second, loss, range(count, count + 15))


@pytest.mark.parametrize("sizes", [(300,), (100, 200)])
@pytest.mark.parametrize("count", PLACES)
def test_resumed_while_a_batch_is_rendered_it_asks_for_that_batch_again(sizes, count):
    first = after(uneven, sizes, count)
    random = first.problem.generator.get_state()
    asked = first.ask().clone()
    second = resumed(first.state_dict(), random, sizes)
    assert torch.equal(second.ask(), asked)
    losses = uneven(asked)
    for surrogate in (first, second):
        surrogate.tell(asked, losses, losses.isfinite())
    assert_same_bits(first, second, uneven, range(count + 1, count + 15))


@pytest.mark.parametrize("sizes", [(300,), (100, 200)])
@pytest.mark.parametrize("count", PLACES)
def test_resumed_after_a_cut_batch_it_goes_on_with_the_same_bits(sizes, count):
    first = after(uneven, sizes, count)
    iterate(first, uneven, count, rows=7)
    second = resumed(first.state_dict(), first.problem.generator.get_state(), sizes)
    assert_same_bits(first, second, uneven, range(count + 1, count + 15))


def test_the_state_is_at_most_eight_vectors():
    for n in (2000, 4000):
        state = after(bowl, (n // 4, n - n // 4), count=5).state_dict()
        assert sum(size for size in sizes_in(state) if size >= n) <= 8 * n


def sizes_in(value):
    """How many numbers each tensor of a nested state has."""
    if isinstance(value, torch.Tensor):
        return [value.numel()]
    return [size for one in value.values() for size in sizes_in(one)] if isinstance(value, dict) else []


def test_the_best_centre_is_recommended_where_nothing_is_noisy():
    seen = []

    def loss(theta, number):
        seen.append(float(bowl(theta[:1])))
        return bowl(theta)

    surrogate = after(loss, count=30)
    assert float(bowl(surrogate.recommend()[None])) == pytest.approx(min(seen))
    assert any(later < earlier for earlier, later in pairwise(seen))


def test_the_last_centre_is_recommended_where_the_loss_is_noisy():
    surrogate = after(noisy, count=30)
    assert surrogate.state.noisy
    assert torch.equal(surrogate.recommend(), surrogate.theta)


@pytest.mark.parametrize("memory", [True, False])
def test_without_memory_g_is_what_the_last_block_has_told(memory):
    surrogate = after(uneven, (320,), count=8, memory=memory)  # rows of 320 are orthonormal: U g holds all of Uᵀ y
    g, block = surrogate.state.gradient.g, surrogate.probes.directions
    assert torch.allclose(block.combine(block.along(g)), g) != memory


@pytest.mark.parametrize("factor", [1e-3, 10.0])
def test_a_fixed_radius_stays_at_its_part_of_the_calibrated_one(factor):
    surrogate = fresh(fixed_radius=factor)
    radii = []
    for number in range(12):
        iterate(surrogate, bowl, number)
        radii.append(surrogate.state.radius.radius)
    assert radii[2:] == pytest.approx([factor * surrogate.state.calibration.radius] * 10)


def test_without_curvature_the_model_is_linear():
    surrogate = after(bowl, curvature=False)
    places = surrogate.theta + torch.eye(300).to(surrogate.theta)
    assert torch.equal(surrogate.gradient(places[0]), surrogate.gradient(surrogate.theta))
    assert surrogate.status()["curvature"] == 0


def test_without_calibrated_units_blocks_keep_theirs():
    assert len(after(uneven, (100, 200)).state.units.unit) == 300
    assert after(uneven, (100, 200), calibrate_units=False).state.units.unit.tolist() == [1]


def test_ablations_are_options():
    options = {"memory": False, "curvature": False, "calibrate_units": False, "fixed_radius": 1e-3}
    method = ZeroGrads(surrogate="sketched_gradient", options=options)
    assert method.settings == SketchedGradientSettings(**options)


@pytest.mark.parametrize(("n", "probes"), [(2, 16), (8000, 40), (50_000, 60), (128_000, 80), (10**6, 120)])
def test_a_sweep_has_200_blocks_within_limits(n, probes):
    assert SketchedGradientSettings().probes(n, noisy=False) == probes
    assert SketchedGradientSettings().probes(n, noisy=True) == max(probes, 30)
