"""Stochastic gradients pixel by pixel: SPSA in every pixel, summed over the pixels that a parameter was seen to move.

    d_k = Σ_{p in cell k} ∂L/∂I_p · (I_p(θ + cΔ) − I_p(θ − cΔ)),   Δ_i = ±1         the change of the loss in cell k
    g_i = Δ_i / 2c · Σ_k w_ki d_k,    w_ki = max(ρ_ki², 1 / T)                      Adam follows g

In the spirit of Deliot, Heitz and Belcour 2024, "Transforming a Non-Differentiable Rasterizer into a Differentiable
One with Stochastic Gradient Estimation". Theirs: all parameters are perturbed at once by ±c, the loss is compared pixel
by pixel, each parameter collects the pixels it touches and no others, and Adam follows; so the noise of a slope does
not grow with the number of all parameters. They read which parameter touches which pixel from ID and UV buffers that
the rasteriser writes with each render.

A black box has no such buffers, so the weights w are ours. ρ_ki is the correlation of the change of cell k with the
sign Δ_i over the last T pairs: its square is the share of that change that parameter i explains, and 1 / T is what
chance explains. That is Wiener's gain of the slope of cell k. At first all weights are equal, which is SPSA. They need
pairs to be learned, about √K of them for K cells, and K n numbers of memory. If these are more than `MOST`, a cell is a
square of several pixels.
"""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import Descent, loss_gradient
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.memory import check_memory
from zg.method import Range
from zg.seeding import make_generator

# Most numbers of the matrix of correlations, [cells, n]: 64 MB.
MOST = 2**24


class PixelGradient(Descent):
    """Per-pixel SPSA with Adam.

    c: perturbation of each coordinate, scaled units. lr: Adam's learning rate, scaled units.
    memory: pairs after which a correlation is forgotten; few where a parameter comes to move other pixels.
    pairs: gradient estimates per iteration, which are averaged; each is 2 renders.
    Raises SettingError for a loss that is not differentiable with respect to the image.
    """

    feedback = "image"
    saved: ClassVar[tuple[str, ...]] = ("theta", "adam", "correlated", "energy", "seen")
    batch_settings = ("pairs",)
    ranges: ClassVar = {
        "c": Range(0.003, 0.3, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "memory": Range(10, 3000, log=True, integer=True),
        "pairs": Range(1, 20, log=True, integer=True),
    }

    def __init__(self, c: float = 0.05, lr: float = 0.01, memory: int = 300, pairs: int = 1) -> None:
        check_positive(c=c, lr=lr)
        check_whole(memory=memory, pairs=pairs)
        self.c, self.lr, self.memory, self.pairs = c, lr, memory, pairs

    def build(self, theta: Tensor) -> None:
        super().build(theta)
        # Running means over pairs: of the change of cell k times Δ_i [K, n], and of its square [K]; number of pairs.
        self.correlated, self.energy = torch.empty(0, self.space.n), torch.empty(0)
        self.seen = 0
        #: The cell and the sign of each number of a picture, from the first picture on.
        self.layout: tuple[Tensor, Tensor] | None = None

    def ask(self) -> Tensor:
        signs = torch.randint(2, (self.pairs, self.space.n), generator=self.generator, device=self.theta.device)
        self.deltas = (2 * signs - 1).to(self.theta)
        return self.theta.detach() + self.c * torch.cat([self.deltas, -self.deltas])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        images = evaluation.images
        assert images is not None and self.problem.image_loss is not None
        whole = max(len(images) - self.pairs, 0)  # pairs that the budget has not cut
        valid = evaluation.valid[:whole] & evaluation.valid[self.pairs :]
        deltas = self.deltas[:whole][valid]
        if not len(deltas):
            return
        there, back = images[:whole][valid], images[self.pairs :][valid]
        changes = (there - back).reshape(len(deltas), -1)
        slopes = loss_gradient(self.problem.image_loss, (there + back) / 2, evaluation.reference, "pixel_gradient")
        self.layout = self.layout or self._cells(images.shape[1:], changes)
        cells, coins = self.layout
        self._correlate(deltas, summed(coins * changes, cells))
        of_cells = summed(slopes.reshape_as(changes) * changes, cells).float()
        estimates = deltas * (of_cells @ self._weights()).to(deltas)
        penalty = torch.as_tensor(self.problem.image_loss.regulariser(self.space.to_user(theta))).to(deltas.device)
        penalty = penalty.expand(len(theta))
        penalties = (penalty[:whole] - penalty[self.pairs :])[valid].to(deltas)
        self.descend((estimates + deltas * penalties[:, None]).mean(0) / (2 * self.c))

    def _cells(self, shape: torch.Size, like: Tensor) -> tuple[Tensor, Tensor]:
        """The cell [m] of each number of a picture [..., C, H, W], and a sign for each.

        The signs are fixed, so that changes of one cell in both directions, as of an edge, do not cancel in its sum.
        """
        cells = squares(shape, MOST // self.space.n).to(like.device)
        coins = torch.randint(2, cells.shape, generator=make_generator(self.problem.seed, "signs of numbers"))
        if not len(self.energy):
            count = int(cells.max()) + 1
            check_memory(4 * count * self.space.n, cells=count)
            self.correlated, self.energy = like.new_zeros(count, self.space.n).float(), like.new_zeros(count).float()
        return cells, (2 * coins - 1).to(like)

    def _correlate(self, deltas: Tensor, changes: Tensor) -> None:
        """Learn from pairs Δ [P, n] and the changes [P, K] of the cells.

        A pair's weight is its own share, less what the pairs after it take: one product for all of them.
        """
        counts = torch.arange(self.seen + 1, self.seen + 1 + len(deltas), dtype=torch.double)
        shares = 1 / counts.clamp_max(self.memory)
        kept = (1 - shares).flip(0).cumprod(0).flip(0)  # of what was known before this pair, at the end
        weights = (shares * torch.cat([kept[1:], kept.new_ones(1)])).to(changes.device, torch.float)
        earlier, changes = float(kept[0]), changes.float()
        self.correlated.addmm_((weights[:, None] * changes).T, deltas.float(), beta=earlier)
        self.energy.mul_(earlier).add_(weights @ changes.square())
        self.seen += len(deltas)

    def _weights(self) -> Tensor:
        """w [K, n]."""
        tiny = torch.finfo(self.energy.dtype).tiny
        explained = self.correlated.square().div_(self.energy.clamp_min(tiny)[:, None])
        return explained.clamp_min_(1 / min(self.seen, self.memory))

    def status(self) -> dict[str, float]:
        return {"sigma": self.c, **super().status()}


def squares(shape: torch.Size, most: int) -> Tensor:
    """The cell [m] of each number of a picture [..., C, H, W]: pixels, or the smallest squares of them, at most `most`.

    All channels of a pixel are in one cell; what has no height and width is one cell.
    """
    if len(shape) < 2:
        return torch.zeros(shape.numel(), dtype=torch.long)
    views, (height, width) = shape[:-3].numel(), shape[-2:]
    side = 1
    while views * -(-height // side) * -(-width // side) > max(most, views):
        side += 1
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    across = int(columns[-1]) + 1
    square = rows[:, None] * across + columns
    view = torch.arange(views) * (int(square[-1, -1]) + 1)
    return (view[:, None, None, None] + square).expand(views, shape[:-2].numel() // views, -1, -1).reshape(-1)


def summed(values: Tensor, cells: Tensor) -> Tensor:
    """Sums [B, K] of values [B, m] over the cells [m]."""
    return values.new_zeros(len(values), int(cells.max()) + 1).index_add_(1, cells, values)
