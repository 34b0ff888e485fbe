"""What is measured and drawn of a recommended θ."""

import torch
from torch import Tensor

from zg.loop import Loop
from zg.task import RunView

#: The window of the structural similarity, in pixels; smaller images have none.
SSIM_WINDOW = 11


def result_metrics(loop: Loop, theta: Tensor, image: Tensor) -> dict[str, float]:
    """Parameter error, gradient cosine, PSNR, SSIM and the task's own metrics of θ [n] scaled and its image."""
    task = loop.objective.task
    space = task.space
    x = space.to_user(theta)
    found: dict[str, float] = {}
    if task.solution is not None:
        found["theta_error"] = float(((x - task.solution.to(x)) / space.scale).norm())
    slope = loop.method.surrogate_gradient(theta)
    true_slope = task.true_gradient(x) if slope is not None else None
    if slope is not None and true_slope is not None:
        found["gradient_cosine"] = float(torch.cosine_similarity(slope, true_slope.to(slope) * space.scale, dim=0))
    reference = task.reference()
    if reference is not None and image.ndim >= 3 and image.isfinite().all():
        found |= image_metrics(image, reference, task.linear)
    return found | task.metrics(x, image)


def image_metrics(image: Tensor, reference: Tensor, linear: bool) -> dict[str, float]:
    """PSNR, and SSIM where the image is large enough, of display values in [0, 1]."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    from zg import pictures

    a, b = (pictures.to_display(part, linear)[None] for part in (image, reference))
    found = {"psnr": float(peak_signal_noise_ratio(a, b, data_range=1.0))}
    if min(a.shape[-2:]) >= SSIM_WINDOW:
        found["ssim"] = float(structural_similarity_index_measure(a, b, data_range=1.0))  # type: ignore[arg-type]
    return found


def draw(loop: Loop, theta: Tensor, image: Tensor) -> Tensor | None:
    """The picture of the state: the task's own, or render | reference | error; None where there is nothing to see."""
    task = loop.objective.task
    picture = task.picture(task.space.to_user(theta), image, view_of(loop))
    reference = task.reference()
    if picture is None and reference is not None and image.ndim >= 3:
        from zg import pictures

        picture = pictures.panel(image, reference, task.linear)
    return picture


def view_of(loop: Loop) -> RunView:
    """What the task's picture may show."""
    method, ledger, space = loop.method, loop.ledger, loop.objective.space
    return RunView(
        method=type(method).__name__,
        renders=ledger.renders,
        best_x=space.to_user(ledger.best_theta),
        best_loss=ledger.best_loss,
        path=loop.objective.path,
        sigma=method.status().get("sigma", 0.0),
        predict=lambda x: method.predict(space.to_scaled(x)),
    )
