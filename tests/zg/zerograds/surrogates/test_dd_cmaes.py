"""Ranks alone: what they are blind to, and what they find."""

import math

import pytest
import torch

from tests.problems import Kinks, Quadratic, Rastrigin, Sphere
from zg.method import Budget
from zg.run.run import run
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.method import ZeroGrads
from zg.zerograds.surrogates.dd_cmaes import DDCMAES


class Weave(Task):
    """Stakes across and down a disc: two counts and a radius, against a picture. Other counts look much the same."""

    def build(self) -> None:
        draw = torch.rand(3, generator=self.generator("start"), dtype=torch.float64)
        self.space = ParameterSpace(
            stakes=Block((8 + 20 * draw[:2]).round(), low=4, high=40, kind="integer"),
            radius=Block(0.3 + 0.6 * draw[2:], low=0.2, high=1.0),
        )
        line = (torch.arange(64) + 0.5) / 32 - 1
        self.down, self.across = torch.meshgrid(line, line, indexing="ij")
        self.solution = torch.tensor([17.0, 23.0, 0.6], dtype=torch.float64)
        self.set_reference(self.render(self.solution[None])[0])

    def render(self, x, *seeds):
        down, across, radius = (x[:, k, None, None].float() for k in range(3))
        upright = ((torch.asin((self.across / radius).clamp(-1, 1)) + math.pi / 2) * down).cos() > 0.3
        lying = ((self.down + 1) * across * math.pi / 2).cos() > 0.3
        image = torch.where(upright, 0.9, torch.where(lying, 0.5, 0.15))
        return torch.where(self.across.abs() < radius, image, 0.0)[:, None]


def descend(transform, batches=40):
    """The samples of `batches` iterations on a quadratic whose losses went through `transform`."""
    task = Quadratic(4, condition=10.0)
    task.setup()
    surrogate = DDCMAES(task.space.init, 0.05, task.space.project, make_generator(0, "test"))
    asked = []
    for _ in range(batches):
        asked.append(surrogate.ask())
        losses = transform(task.render(asked[-1]))
        surrogate.tell(asked[-1], losses, losses.isfinite())
    return torch.cat(asked), surrogate, task


def test_only_the_order_of_losses_counts():
    plain, _, _ = descend(lambda losses: losses)
    assert torch.equal(plain, descend(lambda losses: losses.log())[0])
    assert torch.equal(plain, descend(lambda losses: 1e6 * losses**3 - 5)[0])


def test_its_bowl_is_that_of_the_loss():
    """On a quadratic the covariance becomes the inverse curvature: the gradient of h points like the true one."""
    _, surrogate, task = descend(lambda losses: losses, batches=120)
    theta = surrogate.mean + 3 * surrogate.sigma
    cosine = torch.cosine_similarity(surrogate.gradient(theta), task.true_gradient(theta), dim=0)
    assert float(cosine) > 0.9


def test_the_start_is_rendered_and_nothing_worse_is_recommended():
    _, surrogate, task = descend(lambda losses: losses, batches=1)
    assert float(task.render(surrogate.recommend()[None])) <= float(task.render(task.space.init[None]))


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.5])
def test_kinks_do_not_stop_it(sigma):
    result = run(Kinks(10), ZeroGrads(sigma=sigma, surrogate="ranked"), Budget(4000, target_loss=1e-4))
    assert result.stop_reason == "target"


class Uneven(Kinks):
    """Kinks whose scales differ by 10,000."""

    def render(self, x, *seeds):
        return ((x - 0.5).abs() * torch.logspace(0, 4, self.n, dtype=torch.float64)).sum(1)


def test_each_coordinate_gets_a_width_of_its_own():
    method = ZeroGrads(surrogate="ranked")
    result = run(Uneven(10), method, Budget(4000))
    assert result.loss < 1e-4 * result.row["init_loss"]
    widths = method.surrogate._spread()
    assert float(widths[0] / widths[-1]) > 100


def test_what_is_left_of_the_budget_looks_beyond_a_minimum():
    """The minimum nearest to the start costs 20 to 60."""
    losses = sorted(run(Rastrigin(), ZeroGrads(), Budget(6000), seed=seed).loss for seed in range(3))
    assert losses[1] < 2


@pytest.mark.parametrize("seed", [1, 3])
def test_ripples_are_crossed_with_a_sigma_that_stays_wide(seed):
    result = run(Rastrigin(20), ZeroGrads(), Budget(20000), seed=seed)
    assert result.loss < 0.1 * result.row["init_loss"]


@pytest.mark.parametrize("sigma, share", [(0.005, 0.25), (0.05, 0.06), (0.5, 0.06)])
def test_ripples_are_crossed_from_any_first_sigma(sigma, share):
    """σ stays wide while the best sample is luck, and where nothing lower was found it begins anew, wider."""
    runs = [run(Rastrigin(20), ZeroGrads(sigma=sigma), Budget(20000), seed=seed) for seed in range(3)]
    assert sorted(result.loss / result.row["init_loss"] for result in runs)[1] < share


def test_counts_are_found_exactly():
    right = 0
    for seed in range(5):
        task = Weave()
        found = run(task, ZeroGrads(), Budget(2000), seed=seed).theta
        right += torch.equal(found[:2], task.solution[:2])
    assert right >= 4


def test_counts_switches_and_reals_together():
    task = Sphere()
    found = run(task, ZeroGrads(), Budget(1500)).theta
    assert torch.equal(found[3:], task.solution[3:])
    assert torch.allclose(found[:3], task.solution[:3], atol=5e-3)
    assert task.violations() == 0
