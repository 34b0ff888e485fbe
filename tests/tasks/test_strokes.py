"""The rasteriser of strokes: known shapes, order, and training through it."""

import math

import pytest
import torch
from torch import Tensor

import zg
from tasks.renderers.strokes import SoftStrokes, Strokes, stroke_space
from zg.errors import SettingError


def line(start: tuple[float, float], end: tuple[float, float]) -> Tensor:
    """Control points [4, 2] of a straight stroke."""
    t = torch.linspace(0, 1, 4, dtype=torch.float64)[:, None]
    return torch.lerp(*(torch.tensor(place, dtype=torch.float64) for place in (start, end)), t)


def draw(points: list[Tensor], width: list[float], grey: list[float], size: int = 200) -> Tensor:
    numbers = (torch.tensor([values], dtype=torch.float64) for values in (width, grey))
    return Strokes(size)(torch.stack(points)[None], *numbers)[0, 0]


def test_a_straight_stroke_has_the_area_of_a_capsule_and_hard_edges() -> None:
    image = draw([line((0.2, 0.3), (0.77, 0.61))], [0.1], [0.7])
    area = math.hypot(0.57, 0.31) * 0.1 + math.pi * 0.05**2
    assert float((image > 0).double().mean()) == pytest.approx(area, rel=0.01)
    assert image.unique().tolist() == [0.0, pytest.approx(0.7)]


def test_a_bent_stroke_follows_its_curve() -> None:
    points = torch.tensor([[0.1, 0.9], [0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]).double()
    image = draw([points], [0.05], [1.0])
    assert image[60, 100] == 1 and image[20, 100] == 0, "at t = 1/2 the curve is at (0.5, 0.3)"
    assert image[178, 20] == 1 and image[178, 180] == 1, "its ends"


def test_later_strokes_lie_over_earlier_ones_and_rows_do_not_mix() -> None:
    across, down = line((0.1, 0.5), (0.9, 0.5)), line((0.5, 0.1), (0.5, 0.9))
    assert draw([across, down], [0.1, 0.1], [0.4, 0.8])[100, 100] == pytest.approx(0.8)
    assert draw([down, across], [0.1, 0.1], [0.8, 0.4])[100, 100] == pytest.approx(0.4)
    points = torch.stack([across, down])[:, None]
    width, grey = torch.full((2, 1), 0.1).double(), torch.ones(2, 1).double()
    together = Strokes(28)(points, width, grey)
    assert torch.equal(together[1], Strokes(28)(points[1:], width[1:], grey[1:])[0])
    with pytest.raises(SettingError, match="strokes must be > 0"):
        stroke_space(0)


def test_a_pixel_is_the_mean_of_its_samples_and_soft_edges_have_derivatives() -> None:
    points, width, grey = line((0.2, 0.3), (0.77, 0.61))[None, None], torch.tensor([[0.1]]), torch.tensor([[0.7]])
    fine = Strokes(32)(points, width, grey)
    assert torch.allclose(Strokes(8, samples=4)(points, width, grey), torch.nn.functional.avg_pool2d(fine, 4))
    inputs = [part.double().requires_grad_() for part in (points + 0.01, width, grey)]
    torch.autograd.gradcheck(SoftStrokes(4, samples=2, slope=0.2), inputs, atol=1e-4)
    softened = SoftStrokes(32, slope=1e-3)(points.float(), width, grey)
    assert (softened - fine).abs().mean() < 0.01


def test_a_stroke_finds_another_one_through_the_layer() -> None:
    space, strokes = stroke_space(1), Strokes(16)
    layer = zg.Layer(strokes, space=space, batched=True, tensors=True, options={"hidden": 32, "fit_batch": 32})
    wanted = draw([line((0.38, 0.25), (0.33, 0.8))], [0.12], [0.9], size=16)
    x = space.init[None].repeat(2, 1).requires_grad_()
    descent = torch.optim.Adam([x], lr=0.03)
    losses = []
    for _ in range(50):
        loss = (layer(space.project(x))[:, 0] - wanted).square().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
    assert losses[0] > 0.05 and min(losses[-10:]) < 0.3 * losses[0]
