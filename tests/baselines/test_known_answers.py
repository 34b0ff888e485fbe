"""Gradient estimates compared with closed forms, and methods of libraries compared with direct calls of the library."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import cma
import nevergrad
import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.cmaes import CMAES
from baselines.es import ES
from baselines.finite_differences import FiniteDifferences
from baselines.fr22 import FR22, derivative_of_gaussian, smoothed_derivative
from baselines.fr22_image import FR22Image
from baselines.nevergrad import Nevergrad
from baselines.pgpe import PGPE
from baselines.snes import SNES, utilities
from baselines.spsa import SPSA
from tasks.rosenbrock import Rosenbrock
from tests.methods import looped, started
from tests.problems import Noisy, Rastrigin, Recorded
from zg.budget import Budget
from zg.ledger import Evaluation
from zg.run.run import run
from zg.space import Block, ParameterSpace


def step(method: Any, function: Callable[[Tensor], Tensor]) -> None:
    """One iteration on a function of θ [B, n]."""
    theta = method.ask()
    losses = function(method.space.to_user(theta))
    method.tell(theta, Evaluation(losses, losses.isfinite()))


def free(*start: float) -> ParameterSpace:
    return ParameterSpace(x=Block(torch.tensor(start, dtype=torch.float64)))


SLOPE = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)


# Gradient estimates


@pytest.mark.parametrize("cls", [ES, PGPE])
def test_gradient_estimates_of_es_and_pgpe_are_parallel_to_the_gradient(cls: type) -> None:
    method = started(cls(pairs=4000), free(0, 0, 0, 0))
    step(method, lambda x: x @ SLOPE)
    assert torch.cosine_similarity(method.theta.grad, SLOPE, dim=0) > 0.995


def test_es_estimates_the_normalised_gradient_of_a_linear_function() -> None:
    """E[y ε] is the gradient. ES divides by the root mean square of y, which is the norm of the gradient."""
    method = started(ES(pairs=20000), free(0, 0, 0, 0))
    step(method, lambda x: x @ SLOPE)
    assert torch.allclose(method.theta.grad, SLOPE / SLOPE.norm(), atol=0.03)


def test_pgpe_decreases_sigma_along_a_curved_coordinate_only() -> None:
    """∂/∂σ of E (θ + σε)² is 2σ: positive along x, zero along y."""
    method = started(PGPE(pairs=4000), free(0, 0))
    step(method, lambda x: x[:, 0].square())
    narrowed = method.sigma / method.initial_sigma
    assert narrowed[0] < 0.9 and abs(narrowed[1] - 1) < 0.01


def test_central_differences_are_exact_on_a_quadratic() -> None:
    curvature = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    method = started(FiniteDifferences(step=0.3), free(0.7, -0.2))
    step(method, lambda x: (x @ curvature * x).sum(1) / 2)
    assert torch.allclose(method.theta.grad, curvature @ torch.tensor([0.7, -0.2], dtype=torch.float64))


@pytest.mark.parametrize("scheme", ["central", "forward"])
def test_finite_differences_are_right_at_bounds_and_for_discrete_coordinates(scheme: str) -> None:
    space = ParameterSpace(
        x=Block([0.0, 1.0], low=0, high=1),
        count=Block(7, low=0, high=10, kind="integer"),
        on=Block([0.3, 0.8], kind="binary"),
    )
    gradient = torch.tensor([1.0, -2.0, 3.0, 0.5, -1.0], dtype=torch.float64)
    method = started(FiniteDifferences(scheme=scheme), space)
    step(method, lambda x: x @ gradient)
    found = method.theta.grad / space.scale
    assert torch.allclose(found[:3], gradient[:3])
    assert torch.equal(found[3:].sign(), gradient[3:].sign())


def test_finite_differences_of_a_block_leave_other_coordinates_at_zero() -> None:
    method = started(FiniteDifferences(block=2), free(0, 0, 0, 0))
    step(method, lambda x: x @ SLOPE)
    measured = method.theta.grad != 0
    assert measured.sum() == 2
    assert torch.allclose(method.theta.grad[measured], SLOPE[measured])


def test_es_ignores_a_pair_with_a_failed_render() -> None:
    method = started(ES(pairs=3), free(0, 0, 0, 0))
    theta = method.ask()
    losses = theta @ SLOPE
    losses[4] = math.nan  # pairs are (0, 3), (1, 4), (2, 5)
    method.tell(theta, Evaluation(losses, losses.isfinite()))
    known = torch.tensor([0, 2])
    expected = (losses[known] - losses[known + 3]) @ method.offsets[known]
    assert torch.cosine_similarity(method.theta.grad, expected, dim=0) == pytest.approx(1)


# FR22


@pytest.mark.parametrize("theta", [-0.4, 0.0, 0.25])
def test_fr22_estimates_the_derivative_of_a_smoothed_step(theta: float) -> None:
    """A step smoothed by N(0, σ²) is the normal distribution function. Its derivative is the normal density."""
    sigma, count = 0.3, 200_000
    offsets = derivative_of_gaussian(count, 1, torch.Generator().manual_seed(0), torch.float64)
    up, down = (torch.heaviside(theta + sign * sigma * offsets[:, 0], torch.ones(1).double()) for sign in (1, -1))
    density = math.exp(-((theta / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
    single = torch.stack([smoothed_derivative((up - down)[k : k + 1], offsets[k : k + 1], sigma) for k in range(2000)])
    error = float(single.std()) / math.sqrt(count)  # 0 at θ = 0, where every pair has the same difference
    assert abs(float(smoothed_derivative(up - down, offsets, sigma)) - density) < 4 * error + 1e-12


def test_fr22_offsets_follow_the_derivative_of_the_gaussian() -> None:
    """P(|τ| < r) = 1 − exp(−r²/2), and both signs have the same probability."""
    offsets = derivative_of_gaussian(100_000, 2, torch.Generator().manual_seed(1), torch.float64)
    for radius in (0.5, 1.0, 2.0):
        inside = float((offsets.abs() < radius).double().mean())
        assert inside == pytest.approx(1 - math.exp(-(radius**2) / 2), abs=0.005)
    assert float(offsets.sign().mean()) == pytest.approx(0, abs=0.01)
    assert float((offsets[:, 0] * offsets[:, 1]).mean()) == pytest.approx(0, abs=0.02)


def test_fr22_anneals_sigma_with_the_budget() -> None:
    method = FR22(sigma=0.5, final_sigma=0.01)
    started(method, free(0.0, 0.0), 400)
    widths = []
    for renders in (0, 200, 300, 400):
        method.ledger.renders = renders
        widths.append(method.annealed())
    assert widths == pytest.approx([0.5, 0.5, 0.255, 0.01])


class Linear(Recorded):
    """An image that is linear in x, so that the gradient of the loss has a closed form."""

    matrix = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], dtype=torch.float64)

    def build(self) -> None:
        self.space = free(0.5, -0.3)
        self.set_reference(torch.tensor([[[0.2, 0.4, -0.6]]], dtype=torch.float64))

    def image(self, x: Tensor) -> Tensor:
        return (x @ self.matrix.T)[:, None, None, :]

    def regulariser(self, x: Tensor) -> Tensor:
        return 0.1 * x.square().sum(1)


def test_fr22_image_follows_the_chain_rule() -> None:
    task, method = Linear(), FR22Image(pairs=200_000)
    loop = looped(method, task, 1_000_000)
    start = task.space.init.clone()
    loop.iterate()
    residual = task.matrix @ start - task.reference().flatten()
    gradient = 2 / 3 * residual @ task.matrix + 0.2 * start
    assert torch.allclose(method.theta.grad, gradient, atol=0.03)


# SPSA, SNES


def test_spsa_gains_follow_their_formulas() -> None:
    method = started(SPSA(c=0.1, pairs=2), free(0, 0), max_renders=4000)
    method.gain, method.k = 3.0, 7
    assert method.stability == 100  # a tenth of 4000 / (2 · 2) iterations
    assert method.gains() == pytest.approx((3.0 / 108**0.602, 0.1 / 8**0.101))


@pytest.mark.parametrize("slope", [1e-6, 1.0, 1e6])
def test_spsa_makes_a_first_step_of_the_given_length(slope: float) -> None:
    method = started(SPSA(step=0.02), free(1.0))
    step(method, lambda x: slope * x[:, 0])
    assert float(method.theta) == pytest.approx(1.0 - 0.02)
    step(method, lambda x: slope * x[:, 0])
    a, A = method.gain, method.stability
    assert float(method.theta) == pytest.approx(1.0 - 0.02 - slope * a / (A + 2) ** 0.602)


def test_spsa_does_not_move_on_a_plateau() -> None:
    method = started(SPSA(), free(1.0, 2.0))
    step(method, lambda x: torch.ones(len(x), dtype=torch.float64))
    assert method.theta.tolist() == [1.0, 2.0] and method.gain == 0


def test_snes_utilities_follow_their_formula_and_are_equal_for_equal_losses() -> None:
    """For four samples: max(0, log 3 − log k), divided by the sum, minus 1/4. Equal losses have the mean."""
    raw = [math.log(3), math.log(3 / 2), 0.0, 0.0]
    expected = [value / sum(raw) - 0.25 for value in raw]
    assert utilities(torch.tensor([5.0, 1.0, 7.0, 3.0])).tolist() == pytest.approx(
        [expected[2], expected[0], expected[3], expected[1]]
    )
    shared = utilities(torch.tensor([1.0, 1.0, 2.0, 3.0]))
    assert shared[0] == shared[1] == pytest.approx((expected[0] + expected[1]) / 2)
    assert utilities(torch.full((6,), 2.0)).tolist() == pytest.approx([0.0] * 6)


def test_snes_does_not_move_if_all_renders_fail() -> None:
    method = started(SNES(), free(1.0, 2.0))
    step(method, lambda x: torch.full((len(x),), math.nan, dtype=torch.float64))
    assert method.theta.tolist() == pytest.approx([1.0, 2.0])


# Libraries, called directly


class Seen(Rosenbrock):
    """Keeps every x that was rendered."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        self.seen.append(x.clone())
        return super().render(x)


class Bounded(Seen):
    """Rosenbrock's function with bounds that cut its valley."""

    def build(self) -> None:
        super().build()
        self.space = ParameterSpace(x=Block([-0.5, 0.4], low=-1.5, high=0.8, scale=4.0))


@pytest.mark.parametrize("make", [Seen, Bounded])
@pytest.mark.parametrize("seed", [0, 5])
def test_cmaes_gives_the_same_bits_as_the_library_called_directly(make: type[Seen], seed: int) -> None:
    task = make()
    result = run(task, CMAES(), Budget(120), seed=seed, video=False)
    by_hand = make()
    by_hand.seed = seed
    by_hand.setup()
    space = by_hand.space
    options = {"seed": math.nan, "verbose": -9}
    if space.bounded:
        options["bounds"] = [space.low.tolist(), space.high.tolist()]
    outside = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    library = cma.CMAEvolutionStrategy(space.init.numpy(), 0.1, options)
    asked = []
    for _ in range(120 // 6):
        theta = library.ask()
        asked.append(space.to_user(torch.as_tensor(np.stack(theta))))
        library.tell(theta, by_hand.render(asked[-1]).tolist())
    np.random.set_state(outside)  # noqa: NPY002
    assert torch.equal(batches(task, 6), torch.cat(asked))
    assert torch.equal(result.theta, space.to_user(torch.as_tensor(library.result.xfavorite)))


def test_cmaes_restarts_like_the_library_called_directly_and_keeps_the_best() -> None:
    """After convergence to a local minimum, it restarts from θ₀ with twice the population."""
    task = Rastrigin(3)
    result = run(task, method := CMAES(), Budget(3000), seed=2, video=False)
    start, populations, best = task.space.init.numpy(), [], (math.inf, None)
    outside = np.random.get_state()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    left, population = 3000, 7
    while left >= population:
        library = cma.CMAEvolutionStrategy(start, 0.1, {"seed": math.nan, "verbose": -9, "popsize": population})
        populations.append(population)
        while left >= population and not library.stop():
            theta = library.ask()
            library.tell(theta, task.render(task.space.to_user(torch.as_tensor(np.stack(theta)))).tolist())
            left -= population
        best = min(best, (library.result.fbest, library.result.xfavorite), key=lambda pair: pair[0])
        population *= 2
    np.random.set_state(outside)  # noqa: NPY002
    assert len(populations) > 2 and method.library.popsize == populations[-1]
    assert torch.equal(result.theta, task.space.to_user(torch.as_tensor(best[1])))


def test_cmaes_without_restarts_ends_when_the_library_has_converged() -> None:
    result = run(Rosenbrock(), CMAES(restarts=0), Budget(5000), video=False)
    assert result.stop_reason.startswith("cma: tol") and result.renders < 1500


def test_cmaes_with_one_parameter_accepts_a_sigma_as_wide_as_the_bounds() -> None:
    method = started(CMAES(sigma=1.0), ParameterSpace(x=Block(0.3, low=0.0, high=1.0)))
    for _ in range(20):
        step(method, lambda x: (x[:, 0] - 0.7) ** 2)
    assert float(method.recommend()) == pytest.approx(0.7, abs=0.01)


def batches(task: Seen, size: int) -> Tensor:
    """The x [number of renders, n] of batches of this size, without renders of the curve."""
    return torch.cat([x for x in task.seen if len(x) == size])


@pytest.mark.parametrize("name", ["NGOpt", "CMA", "TwoPointsDE", "OnePlusOne", "PSO", "TBPSA"])
@pytest.mark.parametrize("make", [Seen, Bounded])
def test_nevergrad_gives_the_same_bits_as_the_library_called_directly(name: str, make: type[Seen]) -> None:
    seed, budget, workers = 3, 60, 2
    task = make()
    result = run(task, Nevergrad(name, num_workers=workers), Budget(budget), seed=seed, video=False)
    by_hand = make()
    by_hand.seed = seed
    by_hand.setup()
    space = by_hand.space
    outside = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parametrization = nevergrad.p.Array(init=space.init.numpy())
        if space.bounded:
            parametrization.set_bounds(space.low.numpy(), space.high.numpy())
        parametrization.set_mutation(sigma=0.1)
        parametrization.random_state.seed(seed)
        library = nevergrad.optimizers.registry[name](parametrization, budget=budget, num_workers=workers)
        asked = []
        for _ in range(budget // workers):
            candidates = [library.ask() for _ in range(workers)]
            x = space.to_user(torch.as_tensor(np.stack([candidate.value for candidate in candidates])))
            asked.append(x)
            for candidate, loss in zip(candidates, by_hand.render(x).tolist(), strict=True):
                library.tell(candidate, loss)
        found = space.to_user(torch.as_tensor(library.current_bests["minimum"].parameter.value))
    np.random.set_state(outside)  # noqa: NPY002
    assert torch.equal(batches(task, workers), torch.cat(asked))
    assert torch.equal(result.theta, found)


@pytest.mark.parametrize("name", ["NGOpt", "TBPSA", "HSMetaModel", "StupidRandom"])  # the last two draw
def test_asking_nevergrad_for_a_recommendation_does_not_change_the_run(name: str) -> None:
    """The task is noisy, so that the recommendation is that of the library."""
    asked = []
    for curious in (False, True):
        method = Nevergrad(name, num_workers=4)
        loop = looped(method, Noisy(), 100)
        for _ in range(10):  # the metamodel is fitted from the fourth on
            loop.iterate()
            if curious:
                assert torch.equal(method.recommend(), method.recommend())
        asked.append(method.ask())
    assert torch.equal(*asked)


def test_a_process_exits_while_a_thread_of_nevergrad_waits_for_a_loss() -> None:
    """Nevergrad runs optimisers of SciPy, such as Cobyla, in a thread."""
    script = """
import threading
from zg import Block, Optimizer
optimizer = Optimizer(Block([1.0] * 9), method="nevergrad:Cobyla", max_renders=20)
for _ in range(3):
    optimizer.tell([(x**2).sum() for x in optimizer.ask()])
print(threading.active_count())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 1


def test_nevergrad_reports_the_optimiser_that_it_has_chosen() -> None:
    method = Nevergrad("NGOpt")
    result = run(Rosenbrock(), method, Budget(20), video=False)
    assert method.resolved in nevergrad.optimizers.registry and method.resolved != "NGOpt"
    assert result.row["resolved"] == method.resolved


@pytest.mark.parametrize(("name", "seed"), [*(("cmaes", seed) for seed in range(5)), ("nevergrad", 0)])
def test_cmaes_solves_rosenbrock_in_1500_renders(name: str, seed: int) -> None:
    method = CMAES() if name == "cmaes" else Nevergrad("CMA")
    assert run(Rosenbrock(), method, Budget(1500), seed=seed, video=False).loss < 1e-8
