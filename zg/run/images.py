"""The images of a run."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Images:
    """The images of a run, [C, H, W], or [V, C, H, W] with V views.

    render, start, reference: of the result, of the start, and what they are compared with, if there is a reference.
    predicted: what the surrogate said of the result before it was rendered; None without a surrogate of the picture.
    parameters: which parameter moves which pixel, a colour a parameter [3, H, W]; None without such a surrogate.
    linear: whether values are linear radiance, which is shown through the sRGB curve.
    """

    render: Tensor
    start: Tensor
    reference: Tensor | None = None
    predicted: Tensor | None = None
    parameters: Tensor | None = None
    linear: bool = False
