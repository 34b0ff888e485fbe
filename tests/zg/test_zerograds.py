"""How the default chooses among its surrogates, and what each of them can do."""

import pytest
import torch

from tasks.rosenbrock import Rosenbrock
from tasks.texture import Texture
from tests.problems import Noisy, Quadratic
from zg.errors import SettingError
from zg.method import Budget
from zg.run import run
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds import FEW, ZeroGrads


class Steps(Task):
    """Σ (⌊10 x⌋ − 3)²: every slope is zero."""

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.full((3,), 0.95)))

    def render(self, x, *seeds):
        return ((10 * x).floor() - 3).square().sum(1)


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
    [(Quadratic(), "curved"), (Noisy(), "neural"), (Quadratic(n=FEW + 1), "linear"), (Steps(), "neural")],
    ids=["smooth", "noisy", "many", "steps"],
)
def test_the_surrogate_suits_the_problem(task, surrogate):
    method = ZeroGrads()
    run(task, method, Budget(60))
    assert method.present == surrogate


@pytest.mark.parametrize("seed", range(10))
def test_rosenbrock_below_a_thousandth_within_5000_renders(seed):
    result = run(Rosenbrock(), ZeroGrads(), Budget(5000, target_loss=1e-12), seed=seed)
    assert result.loss < 1e-3
    assert result.renders < 750


def test_steps_without_a_slope_are_climbed_down():
    assert run(Steps(), ZeroGrads(), Budget(2000)).loss == 0


def test_eight_renders_a_pixel_bring_a_texture_within_a_hundredth():
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
    with pytest.raises(SettingError, match="surrogate 'linea' is unknown; did you mean 'linear'"):
        ZeroGrads(surrogate="linea")  # type: ignore[arg-type]


def test_a_plateau_around_the_start_is_left():
    """Flat but for a bowl of radius 1 that begins 20 σ away: what looks the same must be looked at from farther."""

    class Far(Task):
        def build(self) -> None:
            self.space = ParameterSpace(x=Block([0.0, 0.0]))

        def render(self, x, *seeds):
            return (x - 1.5).square().sum(1).clamp_max(1.0)

    assert run(Far(), ZeroGrads(), Budget(1000)).loss < 1e-3
