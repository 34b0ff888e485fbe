"""Losses between images [B, ...] and a reference [...] -> [B] float64.

The images are [B, C, H, W], or [B, V, C, H, W] with V views.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zg.errors import SettingError, nearest

Loss = Callable[[Tensor, Tensor], Tensor]


def mse(images: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error."""
    return (images - reference).square().flatten(1).mean(1).double()


def scale_independent(images: Tensor, reference: Tensor) -> Tensor:
    """mean((a/mean(a) − b/mean(b))²): invariant to the overall brightness (the paper's texture loss)."""
    brightness = images.flatten(1).mean(1).clamp_min(1e-8)
    scaled = images / brightness.reshape(-1, *[1] * (images.ndim - 1))
    return mse(scaled, reference / reference.mean().clamp_min(1e-8))


def relative_mse(images: Tensor, reference: Tensor) -> Tensor:
    """mean((a − b)² / (b² + 0.01)): for linear radiance, where bright pixels dominate the mean squared error."""
    return ((images - reference).square() / (reference.square() + 1e-2)).flatten(1).mean(1).double()


def multiscale(images: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error, averaged over an image pyramid that is halved while both sides have 8 pixels or more.

    Its coarse levels still change when an object is displaced by more than its own size.

    >>> import torch
    >>> dot = torch.zeros(3, 1, 16, 16)
    >>> dot[0, 0, 8, 4] = dot[1, 0, 8, 6] = dot[2, 0, 8, 14] = 1.0
    >>> near, far = multiscale(dot[1:], dot[0]).tolist()
    >>> near < far
    True
    """
    a = images.reshape(-1, *images.shape[-2:]).unsqueeze(1)
    b = reference.reshape(-1, *reference.shape[-2:]).unsqueeze(1)
    levels = []
    while True:
        per_plane = (a.reshape(len(images), -1, *a.shape[1:]) - b[None]).square()
        levels.append(per_plane.flatten(1).mean(1).double())
        if min(a.shape[-2:]) < 8:
            return torch.stack(levels).mean(0)
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)


LOSSES: dict[str, Loss] = {f.__name__: f for f in (mse, scale_independent, relative_mse, multiscale)}


def resolve_loss(loss: str | Loss) -> Loss:
    """The loss with this name, or the function itself. Raises SettingError for an unknown name."""
    if callable(loss):
        return loss
    if not isinstance(loss, str):
        raise SettingError(f"loss must be a name or a function, got {loss!r}")
    if loss not in LOSSES:
        raise SettingError(f"loss '{loss}' is unknown{nearest(loss, LOSSES)}")
    return LOSSES[loss]
