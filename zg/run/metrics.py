"""Metrics and picture of the recommended θ."""

import torch
from torch import Tensor

from zg.ledger import total_violation
from zg.loop import Loop
from zg.losses import Weighted
from zg.task import RunView

#: Side of the window of SSIM, in pixels. Smaller images have no SSIM.
SSIM_WINDOW = 11
#: Largest number of constraints that are logged one by one.
LISTED = 8


def result_metrics(loop: Loop, theta: Tensor, image: Tensor) -> dict[str, float]:
    """Metrics of θ [n] in scaled units and its image, by name; those that the task and the method allow.

    theta_error: distance to the known solution, scaled units. violation, constraint_0, …: Σ max(0, g) and each g of the
    constraints g ≤ 0. loss_NAME: each of several weighted losses. gradient_cosine: between the gradients of surrogate
    and task. psnr, ssim: see `image_metrics`. Then the metrics of the task.
    """
    task = loop.objective.task
    space = task.space
    x = space.to_user(theta)
    found: dict[str, float] = {}
    if task.solution is not None:
        found["theta_error"] = float(((x - task.solution.to(x)) / space.scale).norm())
    if task.constrained:
        g = task.violations(x[None])
        found["violation"] = float(total_violation(g))
        found |= {f"constraint_{k}": value for k, value in enumerate(g[0, :LISTED].tolist())}
    gradient = loop.method.surrogate_gradient(theta)
    true_gradient = None if gradient is None else task.true_gradient(x)
    if gradient is not None and true_gradient is not None:
        expected = true_gradient.to(gradient) * space.scale  # in scaled units
        found["gradient_cosine"] = float(torch.cosine_similarity(gradient, expected, dim=0))
    reference = task.reference()
    if reference is not None and image.ndim >= 3 and image.isfinite().all():
        found |= image_metrics(image, reference, task.linear)
    if isinstance(task.criterion, Weighted) and (reference is not None or image.ndim == 1):
        found |= {f"loss_{name}": loss for name, loss in task.criterion.each(image, reference).items()}
    return found | task.metrics(x, image)


def image_metrics(image: Tensor, reference: Tensor, linear: bool) -> dict[str, float]:
    """PSNR in dB and, for images of at least 11 × 11 pixels, SSIM; of display values in [0, 1]."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    from zg import pictures

    a, b = (pictures.to_display(part, linear)[None] for part in (image, reference))
    found = {"psnr": float(peak_signal_noise_ratio(a, b, data_range=1.0))}
    if min(a.shape[-2:]) >= SSIM_WINDOW:
        found["ssim"] = float(structural_similarity_index_measure(a, b, data_range=1.0))  # type: ignore[arg-type]
    return found


def draw(loop: Loop, theta: Tensor, image: Tensor) -> Tensor | None:
    """The picture of θ [n] in scaled units: that of the task, else render | reference | error; None without images.

    Where the surrogate predicts the image, what it predicted of θ before θ was rendered is shown below.
    """
    task = loop.objective.task
    picture = task.picture(task.space.to_user(theta), image, view_of(loop))
    reference = task.reference()
    if picture is None and reference is not None and image.ndim >= 3:
        from zg import pictures

        picture = pictures.panel(image, reference, task.linear)
    predicted, parameters = loop.method.foreseen(theta), footprints(loop)
    if picture is not None and image.ndim >= 3 and not (predicted is None and parameters is None):
        from zg import pictures

        picture = pictures.stacked(picture, pictures.surrogate_row(image, predicted, parameters, task.linear))
    return picture


def footprints(loop: Loop) -> Tensor | None:
    """A picture of which parameter moves which pixel, in colours; None if the method does not know."""
    if loop.method.feedback != "image":
        return None
    from zg import pictures

    colours = pictures.colours(loop.objective.space.n)
    influence = loop.method.influence(torch.cat([colours, torch.ones(len(colours), 1)], dim=1))
    return None if influence is None or influence.ndim < 4 else pictures.parameter_map(influence)


def view_of(loop: Loop) -> RunView:
    """The state of the run, for the picture of the task."""
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
