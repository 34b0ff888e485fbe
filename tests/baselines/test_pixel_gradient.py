"""Per-pixel stochastic gradients without ID buffers."""

import pytest
import torch
from torch import Tensor

from baselines.pixel_gradient import PixelGradient, squares
from baselines.spsa import SPSA
from tests.methods import looped
from tests.zg.zerograds.pictures.scenes import Mixed
from zg.errors import SettingError
from zg.loop import Loop
from zg.space import Block, ParameterSpace
from zg.task import Task


class Lamps(Task):
    """Each parameter is one pixel, in an order that nobody knows."""

    def __init__(self, n: int = 144) -> None:
        super().__init__("mse")
        self.n = n

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.full((self.n,), 0.5), low=0, high=1))
        self.order = torch.randperm(self.n, generator=self.generator("order"))
        self.set_reference(torch.rand(1, 12, self.n // 12, generator=self.generator("reference")))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return x[:, self.order].reshape(len(x), 1, 12, -1).float()


def ended(loop: Loop) -> Loop:
    while not loop.stop_reason():
        loop.iterate()
    return loop


def final_share(loop: Loop) -> float:
    objective = ended(loop).objective
    return objective.measure(loop.method.recommend(), "end")[0] / objective.measure(objective.start, "start")[0]


def test_weights_find_the_pixel_of_each_parameter() -> None:
    loop = ended(looped(PixelGradient(memory=400), Lamps(), 800))
    weights, task = loop.method._weights(), loop.objective.task
    own = weights[torch.arange(144), task.order]
    assert own.min() > 0.8, "each pixel's changes are explained by its own parameter, but for the bounds that cut it"
    assert float((weights.sum() - own.sum()) / (144 * 143)) < 3 / 400, "the others explain what chance does"


def test_pixels_of_their_own_cost_fewer_renders_than_the_sum_of_all() -> None:
    with_pixels = final_share(looped(PixelGradient(lr=0.02), Lamps(), 600))
    assert with_pixels < 0.05
    assert with_pixels < 0.2 * final_share(looped(SPSA(step=0.5), Lamps(), 600))


def test_the_first_estimate_is_that_of_spsa() -> None:
    loop = looped(PixelGradient(), Lamps(), 2)
    start, task = loop.objective.start, loop.objective.task
    loop.iterate()
    delta, c = loop.method.deltas[0], loop.method.c
    images = task.render(torch.stack([start + c * delta, start - c * delta]))
    losses = task.loss(images, task.reference())
    assert torch.allclose(loop.method.theta.grad, delta * (losses[0] - losses[1]) / (2 * c), rtol=1e-3)


def test_cells_are_the_smallest_squares_that_fit() -> None:
    assert squares(torch.Size([3, 2, 2]), 4).tolist() == [0, 1, 2, 3] * 3
    assert squares(torch.Size([1, 3, 3]), 4).tolist() == [0, 0, 1, 0, 0, 1, 2, 2, 3]
    assert squares(torch.Size([2, 1, 2, 2]), 2).tolist() == [0] * 4 + [1] * 4
    assert squares(torch.Size([]), 9).tolist() == [0]


def test_a_loss_without_derivatives_is_refused_in_words() -> None:
    task = Mixed(9, 0, loss=lambda images, reference: (images - reference).detach().square().flatten(1).mean(1))
    loop = looped(PixelGradient(), task, 20)
    with pytest.raises(SettingError, match="loss must be differentiable with respect to the image for pixel_gradient"):
        loop.iterate()


def test_pairs_that_are_told_together_are_learned_as_one_after_the_other() -> None:
    together, alone = PixelGradient(memory=7), PixelGradient(memory=7)
    for method in (together, alone):
        method.correlated, method.energy, method.seen = torch.zeros(6, 4), torch.zeros(6), 0
    generator = torch.Generator().manual_seed(0)
    for count in (5, 1, 9):  # more than the memory in the end
        deltas, changes = torch.randn(count, 4, generator=generator), torch.randn(count, 6, generator=generator)
        together._correlate(deltas, changes)
        for k in range(count):
            alone._correlate(deltas[k : k + 1], changes[k : k + 1])
    assert together.seen == alone.seen == 15
    torch.testing.assert_close(together.correlated, alone.correlated)
    torch.testing.assert_close(together.energy, alone.energy)
