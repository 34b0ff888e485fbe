"""The loss as a function of the picture, and its quadratic model there.

    L(I + e) ≈ L(I) + g·e + ½ e·H e        g, H: by automatic differentiation; H is used as a product, never as a matrix

The energy ½ e·H e of an error e of a picture is what that error costs in loss. All variances of pictures (noise,
uncertainty of a prediction) are expected energies, so they are in units of the loss and can be subtracted from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zg.problem import ImageLoss
from zg.seeding import make_generator
from zg.space import ParameterSpace

#: Most numbers of pictures in one call of the loss with its derivatives: 16 MB in single precision.
AT_ONCE = 2**22
#: Relative difference up to which H z and the diagonal of H times z are equal: rounding in single precision.
ALIKE = 1e-3
#: Curvature along the misfit r relative to that of a square (r·H r / r·g is 1 there, 0 for |r|) that is no curvature.
STRAIGHT = 0.1
#: Smallest misfit of a pixel, over the root mean square of all, in the weights that stand in for a missing curvature.
SMALLEST_MISFIT = 1e-2


@dataclass(frozen=True)
class Bowl:
    """The quadratic model of the loss at one picture: slopes g [m] and the product with H of vectors [B, m].

    diagonal: H [m] where H is diagonal, as for every loss that is a sum over pixels; else None.
    """

    gradient: Tensor
    diagonal: Tensor | None
    product: Callable[[Tensor], Tensor]

    def times(self, e: Tensor) -> Tensor:
        """H e for e [B, m]."""
        return e * self.diagonal if self.diagonal is not None else self.product(e)

    def energy(self, e: Tensor) -> Tensor:
        """½ e·H e [B], float64 and not below 0, for e [B, m]."""
        return 0.5 * (e * self.times(e)).sum(1, dtype=torch.float64).clamp_min(0.0)


class PictureLoss:
    """Loss and regulariser of a task for pictures as rows [B, m], m numbers each.

    `is_differentiable` says whether `bowl` and `penalty_bowl` can be had.
    """

    def __init__(self, image_loss: ImageLoss, reference: Tensor, space: ParameterSpace) -> None:
        self.image_loss, self.reference, self.space = image_loss, reference, space

    def is_differentiable(self, theta: Tensor) -> bool:
        """Whether the loss depends on the image through PyTorch, and the regulariser on θ [n], if it does at all."""
        with torch.enable_grad():
            at = self.reference.detach().clone().float().requires_grad_()
            x = theta.detach().clone().requires_grad_()
            try:
                loss = self.image_loss.of_images(at[None], self.reference)
                penalty = self._penalty(self._relaxed(x[None]))
            except RuntimeError as error:  # NumPy of a tensor that has derivatives
                if "requires grad" in str(error):
                    return False
                raise
        elsewhere = self._penalty(self._relaxed((theta + 1.0)[None])).detach().double().sum()
        is_constant = bool(penalty.detach().double().sum() == elsewhere)
        return loss.requires_grad and (penalty.requires_grad or is_constant)

    @cached_property
    def floor(self) -> float:
        """The loss of the reference itself."""
        return float(self.losses(self.reference.reshape(1, -1).float())[0])

    @torch.no_grad()
    def losses(self, pictures: Tensor) -> Tensor:
        """The loss [B] of pictures [B, m], without regulariser."""
        size = max(1, AT_ONCE // max(1, pictures.shape[1]))
        return torch.cat([self._losses(part) for part in torch.split(pictures, size)]).double()

    @torch.no_grad()
    def penalties(self, theta: Tensor) -> Tensor:
        """The regulariser [B] at θ [B, n] as it is rendered."""
        return self._penalty(self.space.to_user(theta)).detach().to(theta.device).double().expand(len(theta))

    def bowl(self, picture: Tensor) -> Bowl:
        """The quadratic model at a picture [m]. Where the loss has slopes but no curvature (|r|), r·g / r² stands in.

        Such weights make the model touch the loss at the picture and at the reference (iteratively reweighted squares).
        """
        gradient = self._slopes(picture[None], graph=False)[0].detach()
        coins = torch.randint(2, (len(picture),), generator=make_generator(0, "curvature"))
        z = (2 * coins - 1).to(picture)

        def product(e: Tensor) -> Tensor:
            size = max(1, AT_ONCE // len(picture))
            return torch.cat([self._product(picture, part) for part in torch.split(e, size)])

        misfit = picture - self.reference.reshape(-1).to(picture)
        along_z, along_ones, along_misfit = product(torch.stack([z, torch.ones_like(z), misfit]))
        pull = float((misfit * gradient).sum(dtype=torch.float64))
        is_straight = float((misfit * along_misfit).sum(dtype=torch.float64)) < STRAIGHT * pull
        if is_straight or not along_z.isfinite().all():
            smallest = SMALLEST_MISFIT * misfit.square().mean().sqrt() + torch.finfo(misfit.dtype).tiny
            weights = gradient / torch.where(misfit.abs() < smallest, misfit.sign() * smallest + (misfit == 0), misfit)
            return Bowl(gradient, weights.clamp_min(0.0), product)
        is_diagonal = float((along_z * z - along_ones).norm()) <= ALIKE * float(along_ones.norm())
        return Bowl(gradient, along_ones.clamp_min(0.0) if is_diagonal else None, product)

    def penalty_bowl(self, theta: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor] | None]:
        """Slopes [n] of the regulariser at θ [n], and the product of its curvature with [B, n]; None if it has none."""
        with torch.enable_grad():
            at = theta.detach().clone().requires_grad_()
            value = self._penalty(self._relaxed(at[None]))
            if not value.requires_grad:
                return torch.zeros_like(theta), None
            slopes = torch.autograd.grad(value.sum(), at)[0].detach()

        def product(s: Tensor) -> Tensor:
            with torch.enable_grad():
                many = theta.detach().expand(len(s), -1).clone().requires_grad_()
                first = torch.autograd.grad(self._penalty(self._relaxed(many)).sum(), many, create_graph=True)[0]
                if not first.requires_grad:
                    return torch.zeros_like(s)
                second = torch.autograd.grad((first * s).sum(), many, allow_unused=True)[0]
            return torch.zeros_like(s) if second is None else second.detach()

        return slopes, product

    def _penalty(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.image_loss.regulariser(x))

    def _relaxed(self, theta: Tensor) -> Tensor:
        """x [B, n] in the user's units, not rounded."""
        x = theta * self.space.scale
        return torch.where(self.space.log, x.exp(), x) if self.space.any_log else x

    def _losses(self, pictures: Tensor) -> Tensor:
        return self.image_loss.of_images(pictures.reshape(len(pictures), *self.reference.shape), self.reference)

    @torch.enable_grad()
    def _slopes(self, pictures: Tensor, graph: bool) -> Tensor:
        """∂L/∂I [B, m] at pictures [B, m]."""
        at = pictures if graph else pictures.detach().clone().requires_grad_()
        return torch.autograd.grad(self._losses(at).sum(), at, create_graph=graph)[0]

    @torch.enable_grad()
    def _product(self, picture: Tensor, e: Tensor) -> Tensor:
        """H e [B, m] for e [B, m], by differentiating twice."""
        at = picture.detach().expand(len(e), -1).clone().requires_grad_()
        first = self._slopes(at, graph=True)
        if not first.requires_grad:
            return torch.zeros_like(e)
        second = torch.autograd.grad((first * e).sum(), at, allow_unused=True)[0]
        return torch.zeros_like(e) if second is None else second.detach()
