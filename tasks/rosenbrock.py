"""Rosenbrock's function: a curved, narrow valley, slow for every method that does not learn its curvature."""

import numpy as np
import torch
from torch import Tensor

from zg.errors import SettingError
from zg.memory import check_memory
from zg.pictures import from_figure, one_plot
from zg.space import VECTORS, Block, ParameterSpace
from zg.task import RunView, Task


class Rosenbrock(Task):
    """Σ b (xᵢ₊₁ − xᵢ²)² + (a − xᵢ)² with a = 1 and b = 100; zero at (1, …, 1).

    n: dimensions, at least 2. The start is uniform in [−1.5, 2], for the last coordinate in [−0.5, 3]. A scaled unit
    is 4. released: the square of that function, which is the loss of the released code: the mean square of a picture
    that is filled with it.
    """

    def __init__(self, n: int = 2, released: bool = False) -> None:
        super().__init__()
        if n < 2:
            raise SettingError(f"n must be at least 2, got {n}")
        check_memory(VECTORS * 8.0 * n, n=n)
        self.n, self.released = n, released

    def build(self) -> None:
        start = 3.5 * torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64) - 1.5
        start[-1] += 1
        self.space = ParameterSpace(x=Block(start, scale=4.0))
        self.solution = torch.ones(self.n, dtype=torch.float64)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        value = (100 * (x[:, 1:] - x[:, :-1].square()).square() + (1 - x[:, :-1]).square()).sum(1)
        return value.square() if self.released else value

    def true_gradient(self, x: Tensor) -> Tensor:
        valley = 200 * (x[1:] - x[:-1].square())
        gradient = torch.zeros_like(x)
        gradient[:-1] = -2 * x[:-1] * valley - 2 * (1 - x[:-1])
        gradient[1:] += valley
        return 2 * self.render(x[None]).sqrt() * gradient if self.released else gradient

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor:
        """Contours in the plane of the last two coordinates (with the others of x), the path, and the solution."""
        figure, axes = one_plot()
        across, up = np.meshgrid(np.linspace(-1.8, 2.3, 160), np.linspace(-1, 3.5, 160))
        plane = x.cpu().expand(across.size, -1).clone()
        plane[:, -2:] = torch.from_numpy(np.stack([across.ravel(), up.ravel()], axis=1))
        losses = self.render(plane).reshape(across.shape).numpy()
        filled = axes.contourf(across, up, np.log10(losses + 1e-3), levels=24, cmap="cividis")
        figure.colorbar(filled, ax=axes, pad=0.02, ticks=range(-3, 5), format="%d", label="log₁₀ loss")
        if view is not None:
            axes.set_title(f"{view.method}, {view.renders} renders, loss {float(image):.2g}")
            path = torch.stack([*view.path, x.cpu()])
            axes.plot(path[:, -2], path[:, -1], ".-", color="white", linewidth=1, markersize=4)
        axes.plot(1, 1, "*", color="#009e73", markersize=16, markeredgecolor="white")
        axes.plot(float(x[-2]), float(x[-1]), "o", color="#d55e00", markersize=9, markeredgecolor="white")
        axes.set(xlim=(-1.8, 2.3), ylim=(-1, 3.5), xlabel=f"x{self.n - 1}", ylabel=f"x{self.n}")
        return from_figure(figure)
