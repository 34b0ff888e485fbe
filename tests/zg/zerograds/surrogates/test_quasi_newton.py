"""The quasi-Newton surrogate: differences, BFGS, steps inside bounds, and when it gives up."""

import copy
import io

import pytest
import torch
from scipy.optimize import minimize

from tests.problems import Cornered, Kinks, Quadratic, Rastrigin, Rotated
from zg.problem import Problem
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.zerograds.surrogates.quasi_newton import QuasiNewton, QuasiNewtonSettings, damped_bfgs


class TurnedKinks(Rotated):
    """Σ |x − 0.5| along axes of its own."""

    def render(self, x, *seeds):
        return ((x - 0.5) @ self.rotation).abs().sum(1)


class Valley(Quadratic):
    """Rosenbrock's in two parameters: curved, smooth, with its minimum at 1."""

    def render(self, x, *seeds):
        return 100 * (x[:, 1] - x[:, 0].square()).square() + (1 - x[:, 0]).square()


class Rounded(Quadratic):
    """A quadratic of coordinates that are rounded to a quarter: plateaus everywhere."""

    def render(self, x, *seeds):
        return super().render((4 * x).round() / 4)


def made(task, sigma=0.05, settings=None, seed=0):
    """The task, and the surrogate at its start."""
    task.seed = seed
    task.setup()
    return task, QuasiNewton(Problem.of_space(task.space, seed), task.space.init, sigma, settings)


def render(task, surrogate, theta):
    return task.render(task.space.to_user(theta))


def iterate(surrogate, loss):
    """One batch; returns how many renders it took."""
    theta = surrogate.ask()
    losses = loss(theta)
    surrogate.tell(theta, losses, losses.isfinite())
    return len(theta)


def drive(task, surrogate, renders=3000, noise=0.0):
    """Iterate until it fails or converges, or until `renders` are spent; returns the number of renders."""
    generator, done = make_generator(0, "noise"), 0
    while done < renders and not surrogate.failed:

        def loss(theta):
            losses = render(task, surrogate, theta)
            return losses + noise * torch.randn(len(losses), generator=generator, dtype=losses.dtype)

        done += iterate(surrogate, loss)
    return done


def sweep(task, surrogate):
    """One sweep, which leaves trial steps; returns the gradient that the surrogate had before."""
    assert surrogate.state.trials is None
    before = surrogate.state.g
    iterate(surrogate, lambda theta: render(task, surrogate, theta))
    return before


def step(task, surrogate):
    """Trial steps, to the best of which it moves."""
    assert surrogate.state.trials is not None
    iterate(surrogate, lambda theta: render(task, surrogate, theta))


def assert_same(first, second):
    """Two states are equal to the bit."""
    torch.testing.assert_close(vars(first), vars(second), rtol=0, atol=0, equal_nan=True)


def true_gradient(task, surrogate):
    return torch.autograd.functional.jacobian(lambda x: task.render(x[None])[0], surrogate.theta)


def test_one_sweep_gives_the_gradient_and_the_curvature_of_a_separable_quadratic():
    task, surrogate = made(Quadratic(5, condition=100.0))
    sweep(task, surrogate)
    points = torch.randn(20, 5, generator=make_generator(0, "test"), dtype=torch.float64)
    assert torch.allclose(surrogate.gradient(surrogate.theta), task.true_gradient(task.space.init), rtol=1e-9)
    assert torch.allclose(surrogate.predict(points), task.render(points), rtol=1e-9)
    assert torch.allclose(surrogate.gradient(points[0]), task.true_gradient(points[0]), rtol=1e-9)


def test_a_separable_quadratic_is_solved_in_one_step_where_the_trust_radius_lets_it():
    task, surrogate = made(Quadratic(6, condition=100.0), sigma=1.0)
    sweep(task, surrogate)
    step(task, surrogate)
    assert torch.allclose(surrogate.recommend(), task.solution, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_turned_quadratic_is_solved_in_twelve_iterations(seed):
    task, surrogate = made(Rotated(4, condition=10.0), seed=seed)
    for _ in range(12):
        sweep(task, surrogate)
        step(task, surrogate)
    assert torch.allclose(surrogate.recommend(), task.solution, atol=1e-12)


def test_the_first_trial_is_newtons_step_within_the_trust_radius():
    task, surrogate = made(Quadratic(2, condition=1.0), sigma=0.1)
    sweep(task, surrogate)
    first = surrogate.state.trials[0]
    assert float(first.norm()) == pytest.approx(0.1 * 2**0.5)  # the whole step would be 0.7 long
    assert torch.allclose(surrogate.state.trials[4], 2 * first)


def test_the_update_has_the_change_of_slope_along_the_step_and_changes_two_directions_at_most():
    """The secant condition, H s = y."""
    generator = make_generator(0, "test")
    A = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    H, s = A @ A.T + torch.eye(5), torch.randn(5, generator=generator, dtype=torch.float64)
    y = s + 0.1 * torch.randn(5, generator=generator, dtype=torch.float64)
    updated = damped_bfgs(H, s, y, damping=0.1)
    assert torch.allclose(updated @ s, y) and torch.allclose(updated, updated.T)
    assert int(((updated - H).svd().S > 1e-9).sum()) <= 2
    assert float(torch.linalg.eigvalsh(updated).min()) > 0


def test_a_step_along_which_the_slope_falls_leaves_h_positive():
    H, s = torch.diag(torch.tensor([1.0, 4.0])).double(), torch.tensor([1.0, 1.0]).double()
    updated = damped_bfgs(H, s, -s, damping=0.1)
    assert float(torch.linalg.eigvalsh(updated).min()) > 0
    assert float(s @ updated @ s) == pytest.approx(0.1 * float(s @ H @ s))


def test_the_secant_of_the_last_step_is_what_h_takes_beside_the_curvatures():
    """Two surrogates, one without the secant, with the same sweeps: their H differ by the update of BFGS."""
    states = []
    for secant in (True, False):
        task, surrogate = made(Rotated(4, condition=10.0), settings=QuasiNewtonSettings(secant=secant))
        sweep(task, surrogate)
        step(task, surrogate)
        before, basis = surrogate.state.H, surrogate.state.basis
        y = -sweep(task, surrogate) + surrogate.state.g
        states.append((before, basis, y, surrogate.state))
    (before, basis, y, with_secant), (_, _, _, without) = states
    along = ((basis @ with_secant.H) * basis).sum(1)
    updated = damped_bfgs(before, with_secant.step, y, 0.1)
    difference = basis @ (with_secant.H - without.H) @ basis.T
    expected = basis @ (updated - before) @ basis.T
    expected.diagonal().zero_()  # along the basis both have the measured curvatures
    assert torch.allclose(along, ((basis @ without.H) * basis).sum(1))
    assert float(expected.norm()) > 1e-3 and torch.allclose(difference, expected, atol=1e-9)


def test_a_minimum_on_bounds_is_that_of_lbfgsb():
    task, surrogate = made(Cornered(8, condition=100.0))
    drive(task, surrogate)

    def loss(x):
        return float(task.render(torch.from_numpy(x)[None])[0])

    bounds = [(0.0, 0.45)] * 8
    found = minimize(loss, [0.2] * 8, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    assert render(task, surrogate, surrogate.recommend()[None]).item() == pytest.approx(found.fun, rel=1e-6)


def test_trial_steps_are_inside_the_bounds():
    task, surrogate = made(Cornered(8, condition=100.0), sigma=0.5)
    for _ in range(6):
        sweep(task, surrogate)
        trials = surrogate.state.trials
        assert torch.equal(task.space.project(trials), trials)
        step(task, surrogate)


def test_a_probe_that_bounds_cut_still_gives_the_slope():
    """The start is 0.05 off its lower bound, the radius 0.1: below, the probe goes half as far."""
    task = Quadratic(1)
    task.setup()
    space = ParameterSpace(x=Block(torch.tensor([0.05]), low=0.0, high=1.0))
    surrogate = QuasiNewton(Problem.of_space(space), space.init, 0.1)
    iterate(surrogate, lambda theta: task.render(space.to_user(theta)))
    assert float(surrogate.state.g) == pytest.approx(0.15 - 1)  # the slope between 0 and 0.15


@pytest.mark.parametrize("n", [5, 10, 20])
def test_quasi_newton_notices_that_it_creeps_along_kinks(n):
    task, surrogate = made(TurnedKinks(n))
    assert drive(task, surrogate) < 1000
    assert surrogate.state.creeps and surrogate.failed and not surrogate.converged


@pytest.mark.parametrize(
    ("curvature", "loss", "creeps"),
    [(0.001, 1.0, True), (0.02, 1.0, False), (0.001, 100.0, False)],
    ids=["sharper, no lower", "not sharper", "much lower"],
)
def test_quasi_newton_creeps_if_a_thousandth_of_the_radius_shows_far_more_curvature_and_the_loss_has_not_fallen(
    curvature, loss, creeps
):
    """The fourth sweep, at a radius of 0.001, sees a curvature of 2 and a loss of 0.75."""
    task, surrogate = made(Quadratic(3), sigma=0.001)
    surrogate.state.sweeps = [(1.0, curvature, loss)] * 3
    sweep(task, surrogate)
    assert surrogate.state.creeps == creeps


@pytest.mark.parametrize("task", [Rotated(8, condition=1e6), Valley(2)], ids=["condition 1,000,000", "curved valley"])
def test_a_smooth_valley_is_not_taken_for_kinks(task):
    task, surrogate = made(task)
    drive(task, surrogate)
    assert not surrogate.state.creeps
    assert float(task.render(surrogate.recommend()[None])) < 1e-20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [1e-3, 0.1])
def test_noise_is_noticed_within_400_renders_and_ends_quasi_newton(noise, seed):
    task, surrogate = made(Rotated(8, condition=30.0), seed=seed)
    assert drive(task, surrogate, noise=noise) < 400
    assert surrogate.failed and not surrogate.converged


def test_an_improvement_that_is_not_the_same_when_rendered_again_is_a_failure():
    task, surrogate = made(Quadratic(3))
    sweep(task, surrogate)
    step(task, surrogate)
    improvement = surrogate.state.improvement
    assert improvement > 0
    iterate(surrogate, lambda theta: render(task, surrogate, theta) + 0.2 * improvement)
    assert surrogate.state.failures == 1


def test_an_improvement_that_is_the_same_when_rendered_again_makes_up_for_failures():
    task, surrogate = made(Quadratic(3))
    surrogate.state.failures = 1.0
    sweep(task, surrogate)
    step(task, surrogate)
    assert surrogate.state.failures == 1
    sweep(task, surrogate)
    assert surrogate.state.failures == 0


def test_a_quadratic_converges_at_its_minimum():
    for task in (Quadratic(4, condition=10.0), Rotated(6, condition=100.0)):
        task, surrogate = made(task)
        assert drive(task, surrogate) < 1000
        assert surrogate.converged and torch.allclose(surrogate.recommend(), task.solution, atol=1e-8)


def test_where_a_parameter_changes_nothing_it_does_not_say_that_it_has_converged():
    """It may be on a plateau of that parameter."""
    task, surrogate = made(Quadratic(3))
    while not surrogate.failed:
        iterate(surrogate, lambda theta: (theta[:, :2] - 0.5).square().sum(1))
    assert torch.allclose(surrogate.recommend()[:2], task.solution[:2], atol=1e-8)
    assert surrogate.sigma < 1e-9 and not surrogate.converged


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_quasi_newton_converges_only_where_there_is_no_slope(n, seed):
    """One of Rastrigin's many minima, or it does not say so."""
    task, surrogate = made(Rastrigin(n), seed=seed)
    drive(task, surrogate)
    assert float(true_gradient(task, surrogate).norm()) < 1e-5 or not surrogate.converged


@pytest.mark.parametrize("task", [Rounded(4), Kinks(5), TurnedKinks(5)], ids=["plateaus", "kinks", "turned kinks"])
def test_plateaus_and_kinks_are_failures_and_no_minima(task):
    task, surrogate = made(task)
    assert drive(task, surrogate) < 3000
    assert surrogate.failed and not surrogate.converged


def test_a_plateau_makes_it_look_farther_and_counts_as_a_part_of_a_failure():
    _, surrogate = made(Quadratic(3))
    for sweeps in (1, 2, 3):
        iterate(surrogate, lambda theta: torch.ones(len(theta)).double())
        assert surrogate.sigma == pytest.approx(0.05 * 4**sweeps)
        assert surrogate.state.failures == 0.25 * sweeps and not surrogate.failed


def test_trials_that_are_all_worse_make_it_look_nearer_and_forget_the_curvature():
    task, surrogate = made(Quadratic(3, condition=10.0))
    sweep(task, surrogate)
    trust = surrogate.state.trust
    iterate(surrogate, lambda theta: torch.full((len(theta),), 100.0).double())
    assert torch.equal(surrogate.theta, task.space.init)
    assert surrogate.sigma == 0.25 * 0.05 and surrogate.state.trust == 0.25 * trust
    assert surrogate.state.H is None and torch.equal(surrogate.state.basis, torch.eye(3).double())


def test_renders_that_fail_count_for_nothing():
    """All probes of x₀ fail: the others are solved, and x₀ stays."""
    task, surrogate = made(Quadratic(3))
    theta = surrogate.ask()
    losses = task.render(theta)
    losses[[1, 4]] = torch.nan
    surrogate.tell(theta, losses, losses.isfinite())
    step(task, surrogate)
    assert float(surrogate.theta[0]) == 0 and bool((surrogate.theta[1:] > 0.01).all())


def test_where_every_render_fails_it_looks_nearer_and_stays():
    task, surrogate = made(Quadratic(3))
    iterate(surrogate, lambda theta: torch.full((len(theta),), torch.nan).double())
    assert torch.equal(surrogate.theta, task.space.init) and surrogate.sigma == 0.25 * 0.05


def test_a_batch_that_the_budget_cut_changes_nothing():
    task, surrogate = made(Quadratic(3))
    before = copy.deepcopy(surrogate.state)
    theta = surrogate.ask()[:4]
    surrogate.tell(theta, task.render(theta), torch.ones(4).bool())
    assert_same(surrogate.state, before)


def test_quasi_newton_does_not_mind_the_unit_of_the_loss():
    ends = []
    for unit in (1.0, 1024.0):
        task, surrogate = made(Rotated(5, condition=100.0))
        for _ in range(10):
            iterate(surrogate, lambda theta, task=task, unit=unit: unit * task.render(theta))
        ends.append(surrogate.theta)
    assert torch.equal(*ends)


@pytest.mark.parametrize("iterations", [3, 4], ids=["before trial steps", "before a sweep"])
def test_resumed_it_goes_on_with_the_same_bits(iterations):
    task, surrogate = made(Rotated(5, condition=100.0))
    for _ in range(iterations):
        iterate(surrogate, lambda theta: render(task, surrogate, theta))
    file = io.BytesIO()
    torch.save(surrogate.state_dict(), file)
    file.seek(0)
    resumed = QuasiNewton(surrogate.problem, task.space.init, 0.7)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(6):
        asked = [each.ask() for each in (surrogate, resumed)]
        assert torch.equal(*asked)
        for each, theta in zip((surrogate, resumed), asked, strict=True):
            each.tell(theta, task.render(theta), torch.ones(len(theta)).bool())
    assert_same(surrogate.state, resumed.state)
