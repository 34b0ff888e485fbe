"""The paper's example in one dimension: a spline with a plateau, a barrier and a second basin."""

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.interpolate import Akima1DInterpolator
from torch import Tensor

from zg.pictures import from_figure, one_plot
from zg.space import Block, ParameterSpace
from zg.task import RunView, Task

KNOTS_X = [-100, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 100]
KNOTS_Y = [9, 7.5, 7, 6.5, 6, 4, 3.5, 0, 2, 1, 6, 8, 9]
DRAWN = np.linspace(-1, 8, 400)
# Size of all text in the picture of 6.4 inches, in points: two pictures side by side on a page have text of 7 points.
LETTERS = 13
# The surrogate is drawn where it was used: within this number of σ, which has 95 % of the samples.
USED = 2.0
# Half the width of the part that an inset enlarges, as soon as the used one is narrower; the least such half; the place
# of the inset, between the curve and the legend (fractions of the axes).
ENLARGED, LEAST_ENLARGED = 0.5, 0.01
INSET = (0.315, 0.45, 0.23, 0.4)


class Toy(Task):
    """f(x)² for an Akima spline f. It is zero at 4 and at 4.116, with a plateau near 2.5 and a barrier at 5.

    The start is 1.1. One scaled unit is 10, about the width of the picture.
    """

    def __init__(self) -> None:
        super().__init__()

    def build(self) -> None:
        self.spline = Akima1DInterpolator(KNOTS_X, KNOTS_Y)
        self.space = ParameterSpace(x=Block([1.1], scale=10.0))
        self.solution = torch.tensor([4.0], dtype=torch.float64)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return torch.as_tensor(self.spline(x[:, 0].cpu().numpy()), device=x.device).square()

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor:
        """True loss, surrogate where it was used, sampling Gaussian, current and best point."""
        figure, axes = one_plot()
        axes.plot(DRAWN, self.spline(DRAWN) ** 2, color="black", label="true loss")
        if view is not None:
            self._draw_run(axes, float(x), view)
        axes.plot(float(x), float(image), "o", color="#d55e00", markersize=9, label="current")
        axes.set(xlim=(DRAWN[0], DRAWN[-1]), ylim=(-3, 60))
        axes.set_xlabel("θ", fontsize=LETTERS)
        axes.set_ylabel("loss", fontsize=LETTERS, labelpad=0)
        axes.tick_params(labelsize=LETTERS)
        axes.legend(loc="upper right", fontsize=LETTERS)
        return from_figure(figure)

    def _draw_run(self, axes: Axes, centre: float, view: RunView) -> None:
        axes.set_title(f"{view.method}, {view.renders} renders", fontsize=LETTERS)
        sigma = view.sigma * float(self.space.scale)
        self._draw_surrogate(axes, centre, USED * sigma, view)
        if view.renders and 0 < USED * sigma < ENLARGED:
            self._enlarge(axes, centre, max(USED * sigma, LEAST_ENLARGED), view)
        if sigma > 0:
            gaussian = np.exp(-0.5 * ((DRAWN - centre) / max(sigma, 0.02)) ** 2)
            axes.fill_between(DRAWN, -3, -3 + 8 * gaussian, color="#56b4e9", alpha=0.6, label="sampling Gaussian")
        if view.renders:
            axes.plot(float(view.best_x), view.best_loss, "*", color="#009e73", markersize=14, label="best")

    def _draw_surrogate(self, axes: Axes, centre: float, half: float, view: RunView) -> None:
        """The surrogate, if there is one, for centre ± half."""
        near = np.linspace(centre - half, centre + half, 100)
        modelled = view.predict(torch.as_tensor(near, device=self.device)[:, None])
        if modelled is not None and modelled.isfinite().any():
            axes.plot(near, modelled.cpu().numpy(), color="#0072b2", linewidth=2, label="surrogate")

    def _enlarge(self, axes: Axes, centre: float, half: float, view: RunView) -> None:
        """An inset with centre ± half, in which a surrogate that is narrow in the picture can be seen."""
        inset = axes.inset_axes(INSET)
        near = np.linspace(centre - half, centre + half, 100)
        inset.plot(near, self.spline(near) ** 2, color="black")
        self._draw_surrogate(inset, centre, half, view)
        inset.plot(centre, float(self.spline(centre)) ** 2, "o", color="#d55e00", markersize=6)
        inset.set(xlim=(near[0], near[-1]), xticks=[], yticks=[], facecolor="#f4f4f4")
        inset.set_xlabel(f"θ ± {half:.2g}", fontsize=LETTERS - 3, labelpad=2)
        inset.set_title("enlarged", fontsize=LETTERS - 3, pad=3)
