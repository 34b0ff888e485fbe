"""The linear surrogate that remembers: renders to a target, invariance, trouble, and what it holds in memory."""

from itertools import pairwise

import pytest
import torch

from tasks.mlp import Mlp
from tasks.texture import Texture
from tests.problems import HighSphere, NoisySphere, Quadratic, Steps, Turned
from zg.method import Budget
from zg.run.run import run
from zg.seeding import make_generator
from zg.zerograds.method import ZeroGrads
from zg.zerograds.surrogates.sketched_gradient import SketchedGradient


def share(task, renders, seed=0, sigma=0.05):
    """What is left of the initial loss."""
    result = run(task, ZeroGrads(sigma=sigma, surrogate="linear"), Budget(renders), seed=seed)
    return result.loss / result.row["init_loss"]


def fresh(sizes):
    return SketchedGradient(
        torch.zeros(sum(sizes)).double(), 0.05, lambda theta: theta, make_generator(0, "test"), sizes
    )


def after(loss, sizes=(300,), count=20):
    """A surrogate after `count` iterations on `loss`, which maps θ [B, n] and an iteration's number to losses [B]."""
    surrogate = fresh(sizes)
    for number in range(count):
        theta = surrogate.ask()
        losses = loss(theta, number)
        surrogate.tell(theta, losses, losses.isfinite())
    return surrogate


def bowl(theta, number=0):
    return (theta - 0.5).square().sum(1)


def uneven(theta, number=0):
    """A bowl that is a hundred times as steep along the last 200 coordinates."""
    return bowl(theta) + 99 * bowl(theta[:, -200:])


@pytest.mark.parametrize("seed", range(3))
def test_a_sphere_is_nearly_done_after_two_sweeps(seed):
    assert share(HighSphere(n=500), 1000, seed) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_texture_takes_two_renders_a_pixel(seed):
    assert share(Texture(size=16), 2 * 768, seed) < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_a_network_takes_a_third_of_a_render_a_weight(seed):
    assert share(Mlp(), 10_000, seed) < 0.01


def test_a_sixth_of_a_sweep_is_not_wasted():
    assert share(HighSphere(n=3000), 500) < 0.93


@pytest.mark.parametrize(("sigma", "seed"), [(0.005, 0), (0.005, 2), (0.05, 0), (0.5, 0)])
def test_steps_without_a_slope(sigma, seed):
    assert share(Steps(), 6000, seed, sigma) < 0.02


@pytest.mark.parametrize(("sigma", "left"), [(0.005, 0.2), (0.05, 0.005), (0.5, 0.001)])
@pytest.mark.parametrize("seed", range(4))
def test_noise_is_averaged_away_by_looking_as_far_as_the_bowl_goes(sigma, left, seed):
    result = run(NoisySphere(), ZeroGrads(sigma=sigma), Budget(10000), seed=seed)
    assert result.theta.square().mean() < left


@pytest.mark.parametrize(("loud", "left"), [(0.1, 0.05), (0.3, 0.6)])
@pytest.mark.parametrize("seed", [0, 2])
def test_noise_as_loud_as_the_loss_does_not_lead_uphill(loud, left, seed):
    task = Turned(200, loud=loud)
    theta = run(task, ZeroGrads(), Budget(8000), seed=seed).theta
    assert task.clean(theta[None]) < left * task.clean(task.space.to_user(task.space.init)[None])


@pytest.mark.parametrize("sigma", [0.005, 0.5])
def test_a_wrong_sigma_costs_less_than_twice_the_renders(sigma):
    assert share(Quadratic(n=300, condition=10.0), 1500, sigma=sigma) <= share(Quadratic(n=300, condition=10.0), 750)


@pytest.mark.parametrize("seed", range(3))
def test_a_sigma_at_which_bounds_saturate_is_narrowed(seed):
    assert share(Texture(size=16), 2 * 768, seed, sigma=0.5) < 0.1


def test_two_sweeps_that_lead_nowhere_lead_back_to_the_best_and_nearer():
    left, radii = [], []

    def loss(theta, number):
        left.append(theta[0].clone())
        return bowl(theta) + 1000 * (number >= 10)  # whatever is found from then on, all is worse than before

    surrogate = after(loss, count=10)
    best = surrogate.best
    for number in range(10, 10 + 30):
        theta = surrogate.ask()
        radii.append(surrogate.radius)
        losses = loss(theta, number)
        surrogate.tell(theta, losses, losses.isfinite())
    returned = [bool(torch.equal(at, best)) for at in left[11:]]
    assert any(returned)
    assert radii[returned.index(True) + 1] < min(radii[0], radii[returned.index(True)])


def test_a_cut_block_changes_nothing():
    surrogate = after(bowl)
    theta = surrogate.ask()
    before = surrogate.theta.clone()
    surrogate.tell(theta[:7], bowl(theta[:7]), torch.ones(7, dtype=torch.bool))
    assert torch.equal(surrogate.theta, before)


@pytest.mark.parametrize("bad", ["a seventh", "every centre of three"])
def test_failed_renders_are_left_out(bad):
    def loss(theta, number):
        losses = bowl(theta)
        losses[slice(0, 2) if bad != "a seventh" and number % 3 == 1 else slice(number % 7 + 3, None, 7)] = torch.nan
        return losses

    surrogate = after(loss, count=60)
    assert surrogate.theta.isfinite().all()
    assert bowl(surrogate.recommend()[None]) < 0.1 * bowl(torch.zeros(1, 300))


@pytest.mark.parametrize(("sizes", "count"), [([300], 10), ([100, 200], 1), ([100, 200], 10)])
def test_it_goes_on_with_the_same_bits(sizes, count):
    whole, first, other = after(uneven, sizes, 15), after(uneven, sizes, count), fresh(sizes)
    other.load_state(first.state())
    other.generator.set_state(first.generator.get_state())
    for _ in range(count, 15):
        theta = other.ask()
        other.tell(theta, uneven(theta), torch.ones(len(theta), dtype=torch.bool))
    assert torch.equal(other.theta, whole.theta)


def test_its_state_is_a_few_vectors():
    held = []
    for n in (2000, 4000):
        surrogate = after(bowl, (n // 4, n - n // 4), count=5)
        state = surrogate.state()
        vectors = [*state["directions"].values(), *state.values()]
        held.append(sum(v.numel() for v in vectors if isinstance(v, torch.Tensor) and v.numel() >= n))
    assert all(total <= 8 * n for total, n in zip(held, (2000, 4000), strict=True))


def test_the_best_centre_is_recommended_where_nothing_is_noisy():
    seen = []

    def loss(theta, number):
        seen.append(float(bowl(theta[:1])))
        return bowl(theta)

    surrogate = after(loss, count=30)
    assert float(bowl(surrogate.recommend()[None])) == pytest.approx(min(seen))
    assert any(later < earlier for earlier, later in pairwise(seen))
