"""How the default chooses among its surrogates, and what each of them can do."""

import numpy as np
import pytest
import scipy.optimize
import torch

from tasks.rosenbrock import Rosenbrock
from tasks.texture import Texture
from tasks.toy import Toy
from tests.problems import Cornered, Noisy, Quadratic, Rotated, Sphere
from zg.budget import Budget
from zg.cli.fit import parse_words
from zg.config.build import instantiate, parse
from zg.config.compose import compose
from zg.errors import SettingError
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.choose import FEW
from zg.zerograds.method import SEARCHED, ZeroGrads
from zg.zerograds.surrogates import RENAMED


class Steps(Task):
    """Σ (⌊10 x⌋ − 3)²: every slope is zero."""

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.full((3,), 0.95)))

    def render(self, x, *seeds):
        return ((10 * x).floor() - 3).square().sum(1)


class Rounded(Quadratic):
    """A quadratic whose last bits depend on the row of the batch, as those of batched sums do."""

    def __init__(self, n: int, relative: float) -> None:
        super().__init__(n)
        self.relative = relative

    def render(self, x, *seeds):
        return super().render(x) * (1 + self.relative * torch.arange(len(x)))


class Shifted(Quadratic):
    """The quadratic, seen from far away, in other units, under another loss."""

    def __init__(self, shift: float, unit: float, loss_unit: float, loss_shift: float, n: int = 200) -> None:
        super().__init__(n, condition=10.0)
        self.shift, self.unit, self.loss_unit, self.loss_shift = shift, unit, loss_unit, loss_shift

    def build(self) -> None:
        super().build()
        self.space = ParameterSpace(x=Block(torch.full((self.n,), self.shift), scale=self.unit))

    def render(self, x, *seeds):
        return self.loss_unit * super().render((x - self.shift) / self.unit) + self.loss_shift


@pytest.mark.parametrize(
    ("task", "surrogate"),
    [
        (Quadratic(), "two_searches"),
        (Quadratic(n=20), "quasi_newton"),
        (Noisy(20), "bayesian_quadratic"),
        (Rounded(20, 3e-7), "quasi_newton"),
        (Rounded(20, 1e-3), "bayesian_quadratic"),
        (Quadratic(n=FEW + 1), "sketched_gradient"),
        (Steps(), "two_searches"),
        (Sphere(), "assisted_cmaes"),
    ],
    ids=["fewest", "smooth", "noisy", "rounded", "barely noisy", "many", "steps", "counts"],
)
def test_the_surrogate_suits_the_problem(task, surrogate):
    method = ZeroGrads()
    run(task, method, Budget(60))
    assert method.present == surrogate


@pytest.mark.parametrize("seed", range(10))
def test_the_default_solves_rosenbrock_within_750_renders(seed):
    result = run(Rosenbrock(), ZeroGrads(), Budget(5000, target_loss=1e-12), seed=seed)
    assert result.loss < 1e-3
    assert result.renders < 750


def test_the_default_reaches_the_minimum_of_a_loss_of_steps():
    assert run(Steps(), ZeroGrads(), Budget(2000)).loss == 0


class Creased(Quadratic):
    """Σ a |x − 0.5| along turned axes: no curvature anywhere, but for the creases."""

    def build(self):
        super().build()
        draw = torch.randn(self.n, self.n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.axes = torch.linalg.qr(draw)[0]

    def render(self, x, *seeds):
        return (((x - 0.5) @ self.axes).abs() * self.weights).sum(1)


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.5])
def test_ranks_take_over_where_quasi_newton_creeps_along_kinks(sigma):
    method = ZeroGrads(sigma=sigma)
    result = run(Creased(10, condition=100.0), method, Budget(4000))
    assert method.present == "two_searches"
    assert result.loss < 0.01 * result.row["init_loss"]


def lowest(task):
    """The least loss inside the bounds, by a method that is given the gradient."""
    H = 2 * (task.rotation * task.weights) @ task.rotation.T / task.n
    return scipy.optimize.minimize(
        lambda x: float(task.render(torch.from_numpy(x)[None])),
        np.full(task.n, 0.2),
        jac=lambda x: (H @ torch.from_numpy(x - 0.5)).numpy(),
        bounds=torch.stack([task.space.low_user, task.space.high_user], 1),
        options={"ftol": 1e-15, "gtol": 1e-12},
    ).fun


@pytest.mark.parametrize("seed", [0, 1])
def test_a_minimum_on_bounds_is_found_to_a_millionth(seed):
    task = Cornered(20, condition=100.0)
    assert run(task, ZeroGrads(), Budget(2000), seed=seed).loss < lowest(task) * (1 + 1e-6)


@pytest.mark.parametrize("start", [0.9, 1.0])
def test_a_minimum_in_a_corner_is_reached(start):
    class Corner(Task):
        def build(self):
            self.space = ParameterSpace(x=Block(torch.full((5,), start), low=0.0, high=1.0))

        def render(self, x, *seeds):
            return (x - 3).square().sum(1)

    assert run(Corner(), ZeroGrads(), Budget(100)).loss == 20


def test_a_few_hundred_parameters_are_handed_over_to_quasi_newton():
    method = ZeroGrads()
    result = run(Rotated(200, condition=1e3), method, Budget(16000))
    assert method.present == "quasi_newton"
    alone = run(Rotated(200, condition=1e3), ZeroGrads(surrogate="sketched_gradient"), Budget(16000))
    assert result.loss < 0.3 * alone.loss


def test_a_texture_ends_below_a_hundredth_after_eight_renders_a_pixel():
    result = run(Texture(size=16), ZeroGrads(), Budget(8 * 768))
    assert result.loss < 0.01 * result.row["init_loss"]


@pytest.mark.parametrize(
    "changed",
    [(100.0, 1.0, 1.0, 0.0), (0.0, 8.0, 1.0, 0.0), (0.0, 1.0, 1e6, 0.0), (0.0, 1.0, 1.0, 64.0)],
    ids=["shift of θ", "unit of θ", "unit of the loss", "shift of the loss"],
)
def test_many_parameters_do_not_mind_units_and_origins(changed):
    plain = run(Shifted(0.0, 1.0, 1.0, 0.0), ZeroGrads(), Budget(1500))
    other = run(Shifted(*changed), ZeroGrads(), Budget(1500))
    shares = [
        (result.loss - loss_shift) / (result.row["init_loss"] - loss_shift)
        for result, loss_shift in ((plain, 0.0), (other, changed[3]))
    ]
    assert shares[0] < 0.05
    assert shares[1] == pytest.approx(shares[0], rel=1e-3)


def test_an_unknown_surrogate_is_told_with_the_nearest_name():
    with pytest.raises(SettingError, match="surrogate 'neurl' is unknown; did you mean 'neural'"):
        ZeroGrads(surrogate="neurl")


def test_a_plateau_around_the_start_is_left():
    """Flat but for a bowl of radius 1 that begins 20 σ away: what looks the same must be looked at from farther."""

    class Far(Task):
        def build(self) -> None:
            self.space = ParameterSpace(x=Block([0.0, 0.0]))

        def render(self, x, *seeds):
            return (x - 1.5).square().sum(1).clamp_max(1.0)

    assert run(Far(), ZeroGrads(), Budget(1000)).loss < 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_the_default_brings_the_toy_below_a_ten_thousandth_within_500_renders(seed):
    assert run(Toy(), ZeroGrads(), Budget(500), seed=seed).loss < 1e-4


def test_a_first_sigma_ten_times_off_costs_at_most_twice_the_renders():
    """Over five seeds together."""
    renders = {
        factor: sum(
            run(Rosenbrock(), ZeroGrads(sigma=0.05 * factor), Budget(2000, target_loss=1e-6), seed=seed).renders
            for seed in range(5)
        )
        for factor in (0.1, 1.0, 10.0)
    }
    assert max(renders[0.1], renders[10.0]) <= 2 * renders[1.0]


def test_a_run_converges_after_four_times_as_many_renders_without_a_lower_loss():
    result = run(Quadratic(), ZeroGrads(), Budget(5000))
    assert result.stop_reason == "converged"
    method = ZeroGrads()
    run(Quadratic(), method, Budget(5000))
    assert method.ledger.improved_at <= result.renders / SEARCHED


def test_trial_steps_that_the_budget_cut_are_no_failure():
    method = ZeroGrads(surrogate="quasi_newton")
    run(Quadratic(), method, Budget(9 + 3))  # a sweep of 2 · 4 + 1, then half of the six trials
    assert method.surrogate.state.failures == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_neural_gradient_comes_to_that_of_a_quadratic_in_a_run(seed):
    """From the history of a real run, θ moving: the best cosine while at least a hundredth of the loss is left.

    Nearer to the minimum the gradient that is compared with vanishes.
    """
    method = ZeroGrads(surrogate="neural", options={"k_phi": 100})
    history = run(Quadratic(10, condition=10.0), method, Budget(2000, target_loss=0.1), seed=seed).history
    seen = history.dropna(subset=["gradient_cosine", "loss"])
    far = seen[seen.loss > 0.01 * seen.loss.iloc[0]]
    assert far.gradient_cosine.max() > 0.99
    assert {"sigma", "step", "fit_error"} <= set(history.columns)


def test_options_go_to_the_surrogate_that_is_named():
    method = ZeroGrads(surrogate="neural", options={"pairs": 3, "lr": 1e-2, "hidden": 8, "layers": 1})
    run(Quadratic(), method, Budget(20))
    surrogate = method.surrogate
    assert surrogate.pairs == 3
    assert surrogate.state.network.optimizer.param_groups[0]["lr"] == 1e-2
    assert [tuple(p.shape) for p in surrogate.state.network.parameters()] == [(8, 4), (8,), (1, 8), (1,)]


@pytest.mark.parametrize(
    ("surrogate", "options", "told"),
    [
        ("neural", {"pair": 4}, "options.pair is unknown for surrogate 'neural'; did you mean 'pairs'"),
        ("neural", {"pairs": 0}, "options.pairs must be > 0, got 0"),
        ("neural", {"pairs": 2.5}, "options.pairs must be a whole number, got 2.5"),
        ("neural", {"lr": "fast"}, "options.lr must be a number, got 'fast'"),
        ("bayesian_quadratic", {"window": True}, "options.window must be a whole number, got True"),
        ("dd_cmaes", {"lattice": 1}, "options.lattice is unknown for surrogate 'dd_cmaes'"),
        ("quasi_newton", {"pairs": 1}, "options.pairs is unknown for surrogate 'quasi_newton'"),
        ("auto", {"pairs": 4}, "options must go with a surrogate by name, got surrogate 'auto' with pairs"),
    ],
)
def test_options_that_make_no_sense_are_told(surrogate, options, told):
    with pytest.raises(SettingError, match=told.replace(".", r"\.")):
        ZeroGrads(surrogate=surrogate, options=options)


def test_options_come_from_a_config_and_the_command_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {name: zerograds, surrogate: neural, options: {pairs: 3}}\n")
    layers, _ = parse_words(["--config", str(tmp_path / "mine.yaml"), "--data", "toy", "--model.options.hidden", "8"])
    method = instantiate("model", parse(compose(*layers))["model"])
    assert method.options == {"pairs": 3, "hidden": 8}
    with pytest.raises(SettingError, match=r"model\.options\.hiden is unknown"):
        layers[-1] = {"model": {"options": {"hiden": 8}}}
        instantiate("model", parse(compose(*layers))["model"])


def test_the_range_of_sigma_holds_its_default():
    low, high = ZeroGrads.ranges["sigma"][:2]
    assert low < ZeroGrads().sigma < high


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_of_a_surrogate_tells_the_new_one(old, new):
    with pytest.raises(SettingError, match=f"surrogate '{old}' is now called '{new}'"):
        ZeroGrads(surrogate=old)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"radius": 3}, "options.radius must be settings by name, got 3"),
        ({"radius": {"widen": "much"}}, "options.radius.widen must be a number, got 'much'"),
        ({"radius": {"widem": 2}}, "options.radius.widem is unknown .* did you mean 'widen'"),
        ({"memory": 0}, "options.memory must be true or false, got 0"),
    ],
)
def test_nested_options_that_make_no_sense_are_told(options, told):
    with pytest.raises(SettingError, match=told):
        ZeroGrads(surrogate="sketched_gradient", options=options)
