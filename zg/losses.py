"""Losses between images [B, ...] and a reference [...] -> [B] float64.

The images are [B, C, H, W], or [B, V, C, H, W] with V views.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zg.arrays import described
from zg.errors import SettingError, nearest

Loss = Callable[[Tensor, Any], Tensor]
#: A loss as people give it: a name, a function, or several with weights.
Losses = str | Loss | Mapping[str, Any] | Sequence[Any]


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


def checked_losses(losses: Any, count: int, name: str = "loss") -> Tensor:
    """The losses [B] float64 that a loss returned for B = count images. name: of the loss, for the message.

    Raises SettingError for anything but a tensor [B] of numbers: a loss of one's own may return one number for all.
    """
    if not isinstance(losses, Tensor):
        got = described(losses)
    elif tuple(losses.shape) != (count,):
        got = f"a tensor of shape {list(losses.shape)}"
    elif losses.dtype == torch.bool:
        got = "True or False"
    else:
        return losses.double()
    raise SettingError(
        f"{name} must return a tensor [B], one number for each of B images, as "
        f"lambda images, reference: (images - reference).abs().flatten(1).mean(1) does; got {got} for B = {count}"
    )


class Weighted:
    """A weighted sum of losses. Runs log each one, without its weight, as `loss_NAME`.

    >>> both = Weighted({"mse": 1.0, "multiscale": 0.5})
    >>> both(torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4)).tolist()
    [1.5]
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.losses: dict[str, Loss] = {}
        self.weights: dict[str, float] = {}
        if not parts:
            raise SettingError("loss must have at least one loss, got none")
        for name, part in parts.items():
            function, weight = part if isinstance(part, tuple) and len(part) == 2 else (name, part)
            if not isinstance(name, str):
                raise SettingError(f"loss must have names, got {name!r}")
            if not isinstance(weight, Real) or isinstance(weight, bool) or not math.isfinite(weight) or weight < 0:
                raise SettingError(f"loss.{name} must be a weight ≥ 0, or a function and its weight, got {weight!r}")
            self.losses[name], self.weights[name] = resolve_loss(function), float(weight)

    def __call__(self, images: Tensor, reference: Tensor | None) -> Tensor:
        told = {name: checked_losses(loss(images, reference), len(images), name) for name, loss in self.losses.items()}
        return torch.stack([self.weights[name] * losses for name, losses in told.items()]).sum(0)

    def each(self, image: Tensor, reference: Tensor | None) -> dict[str, float]:
        """Each loss of one image [...], without its weight, by name."""
        return {name: float(loss(image[None], reference)) for name, loss in self.losses.items()}


def returned_losses(weights: Mapping[str, Any]) -> Weighted:
    """The weighted sum of losses [B, m] that a function returns by name, in the order of `weights`, {name: weight}.

    Raises SettingError for a loss with a function: it is the user's function that computes it.
    """
    for name, weight in weights.items():
        if isinstance(weight, tuple):
            raise SettingError(f"loss.{name} must be a weight where render returns the losses, got {weight!r}")
    return Weighted({name: (_column(k), weight) for k, (name, weight) in enumerate(weights.items())})


def _column(k: int) -> Loss:
    """Loss k of those that were returned."""
    return lambda losses, reference: losses[:, k].double()


def resolve_loss(loss: Losses) -> Loss:
    """The loss with this name, the function itself, or a sum of several.

    loss: also {name: weight}, {name: (function, weight)}, or a list of names and functions, each with weight 1.
    Raises SettingError for an unknown name or a wrong weight.
    """
    if isinstance(loss, Mapping):
        return Weighted(loss)
    if isinstance(loss, list | tuple):
        return Weighted({one if isinstance(one, str) else getattr(one, "__name__", "loss"): (one, 1.0) for one in loss})
    if callable(loss):
        return loss
    if not isinstance(loss, str):
        raise SettingError(f"loss must be a name or a function, got {loss!r}")
    if loss not in LOSSES:
        raise SettingError(f"loss '{loss}' is unknown{nearest(loss, LOSSES)}")
    return LOSSES[loss]
