"""The loss as a function of the picture: slopes, curvature, energies, and where there is none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zg.losses import LOSSES
from zg.problem import ImageLoss
from zg.space import Block, ParameterSpace
from zg.zerograds.pictures.bowl import PictureLoss

SHAPE = (3, 16, 16)
SPACE = ParameterSpace(x=Block([0.5, 2.0]), y=Block([3.0], low=1.0, high=9.0, log=True))


def picture(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def made(loss: Callable[[Tensor, Tensor], Tensor], regulariser: Callable[[Tensor], Tensor | float] = lambda x: 0.0):
    return PictureLoss(ImageLoss(loss, regulariser), picture(1), SPACE)


@pytest.mark.parametrize("name", LOSSES)
def test_the_bowl_has_the_slopes_and_the_curvature_of_the_loss(name: str) -> None:
    loss, at = made(LOSSES[name]), picture(2).reshape(-1).double()
    e = 1e-2 * (picture(3).reshape(-1).double() - 0.5)
    bowl = loss.bowl(at)
    here, up, down = loss.losses(torch.stack([at, at + e, at - e])).tolist()
    assert float(bowl.gradient @ e) == pytest.approx((up - down) / 2, rel=1e-3)
    assert float(bowl.energy(e[None])) == pytest.approx((up + down) / 2 - here, rel=1e-2)
    assert (bowl.diagonal is not None) == (name in ("mse", "relative_mse")), "only these are sums over pixels"


def test_weights_stand_in_for_a_curvature_that_is_not_there() -> None:
    loss = made(lambda images, reference: (images - reference).abs().flatten(1).mean(1))
    at, reference = picture(2).reshape(-1), picture(1).reshape(-1)
    bowl = loss.bowl(at)
    e = (reference - at)[None]
    modelled = loss.losses(at[None]) + bowl.gradient @ e[0] + bowl.energy(e)
    assert float(modelled) == pytest.approx(0.5 * float(loss.losses(at[None])), rel=0.05), "half of it, as for a square"
    assert (bowl.energy(e) > 0).all()


def test_the_regulariser_is_differentiated_in_scaled_units_and_not_rounded() -> None:
    loss = made(LOSSES["mse"], lambda x: (x - 1).square().sum(1))
    theta = SPACE.init.clone()
    slopes, product = loss.penalty_bowl(theta)
    scale = torch.tensor([1.0, 1.0, 3.0 * SPACE.scale[2]], dtype=torch.float64)  # dx / dθ
    assert slopes == pytest.approx(2 * (SPACE.to_user(theta) - 1) * scale)
    assert product is not None
    curved = product(torch.eye(3, dtype=torch.float64)).diagonal()
    assert curved[:2].tolist() == [2.0, 2.0]


def test_what_has_no_derivative_is_seen_before_it_is_needed() -> None:
    def counted(images: Tensor, reference: Tensor) -> Tensor:
        return torch.as_tensor((images.numpy() > reference.numpy()).reshape(len(images), -1).mean(1))

    theta = SPACE.init
    assert made(LOSSES["mse"]).is_differentiable(theta)
    assert made(LOSSES["mse"], lambda x: 0.3).is_differentiable(theta), "a constant needs no derivative"
    assert not made(counted).is_differentiable(theta)
    assert not made(lambda a, b: (a > b).float().flatten(1).mean(1)).is_differentiable(theta)
    assert not made(LOSSES["mse"], lambda x: torch.as_tensor(x.detach().numpy().sum(1))).is_differentiable(theta)


def test_an_error_in_the_loss_is_not_taken_for_a_missing_derivative() -> None:
    def broken(images: Tensor, reference: Tensor) -> Tensor:
        return images @ reference[:, :3]

    with pytest.raises(RuntimeError, match="size"):
        made(broken).is_differentiable(SPACE.init)
