"""FR22 in image space: the derivative of the image is estimated, the derivative of the loss is computed.

    ∂L/∂θ = Σ_p ∂L/∂I_p (I(θ)) · ∂(I_p ∗ κ)/∂θ,   p: pixels

The first factor is computed at the image of θ, by automatic differentiation of the loss. The sum is then estimated by
`baselines.fr22` on the function Σ_p ∂L/∂I_p · I_p(θ + τ) (Fischer and Ritschel 2022). The renderer is a black box.
"""

import torch
from torch import Tensor

from baselines.descent import loss_gradient
from baselines.fr22 import FR22
from zg.ledger import Evaluation
from zg.problem import ImageLoss


class FR22Image(FR22):
    """FR22 with the chain rule through the loss. The settings are those of FR22; θ is one more render per iteration."""

    feedback = "image"

    @property
    def image_loss(self) -> ImageLoss:
        """The loss as a function of images."""
        assert self.problem.image_loss is not None
        return self.problem.image_loss

    def ask(self) -> Tensor:
        return torch.cat([self.theta.detach()[None], super().ask()])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        assert evaluation.images is not None
        if not evaluation.valid[0]:
            return
        weights = loss_gradient(self.image_loss, evaluation.images[:1], evaluation.reference, "fr22_image")
        values = (evaluation.images * weights).reshape(len(theta), -1).sum(1, dtype=torch.float64)[1:]
        values = values + self.image_loss.regulariser(self.space.to_user(theta[1:]))
        self.follow(values.where(evaluation.valid[1:], torch.nan))
