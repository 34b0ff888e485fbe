"""Evolution strategies: a gradient estimate from antithetic Gaussian samples, and Adam.

    g = mean_k y_k ε_k,   y_k = (f(θ + σε_k) − f(θ − σε_k)) / 2σ,   ε_k ~ N(0, I)

y_k estimates the directional derivative along ε_k (Salimans et al. 2017, "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning"). The differences are divided by their root mean square, so that the step does
not depend on the scale of the loss. A surrogate method must be better than this method to be of use.

Asynchronously, a pair keeps the θ_k that it was drawn around: y_k is a derivative there, and no other one. A step is
taken from the next pairs that are complete, however old they are; with W workers they are about W / 2P steps old.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from baselines.descent import Descent, differences, normalised
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range, Sample
from zg.sampling import antithetic, gaussian


class ES(Descent):
    """Antithetic evolution strategies.

    sigma: width of the sampling Gaussian, scaled units. lr: Adam's learning rate, scaled units.
    pairs: antithetic pairs per iteration; each is 2 renders. More, where renders that run side by side leave room.
    """

    saved_asynchronous = ("pairs_asked", "mirrored", "halves", "complete")
    batch_settings = ("pairs",)
    ranges: ClassVar = {
        "sigma": Range(0.003, 3.0, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "pairs": Range(1, 50, log=True, integer=True),
    }

    def __init__(self, sigma: float = 0.05, lr: float = 0.01, pairs: int = 10) -> None:
        check_positive(sigma=sigma, lr=lr)
        check_whole(pairs=pairs)
        self.sigma, self.lr, self.pairs = sigma, lr, pairs

    def build(self, theta: Tensor) -> None:
        super().build(theta)
        self.drawn = self.problem.filled(2 * self.pairs, 2) // 2
        # Asynchronously: the pair whose second half is asked for next; the first loss of each pair that lacks the other
        # one, with its sign; and pairs that are complete, as (f(θ + σε) − f(θ − σε), ε).
        self.pairs_asked = 0
        self.mirrored: dict[str, Any] | None = None
        self.halves: dict[int, tuple[int, float]] = {}
        self.complete: list[tuple[float, Tensor]] = []

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.drawn, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        derivatives = normalised(differences(evaluation.losses, self.drawn))  # along the offsets
        if count := len(derivatives):
            self.descend(derivatives.to(self.theta.dtype) @ self.offsets[:count] / count)

    # One by one

    @property
    def asynchronous(self) -> bool:
        return True

    def ask_one(self) -> Sample:
        if self.mirrored is not None:
            origin, self.mirrored = self.mirrored, None
            return Sample(origin["theta"] - self.sigma * origin["offset"], {**origin, "sign": -1})
        theta = self.theta.detach().clone()
        offset = gaussian(1, self.space.n, self.generator, theta.dtype)[0]
        self.mirrored = {"pair": self.pairs_asked, "theta": theta, "offset": offset}
        self.pairs_asked += 1
        return Sample(theta + self.sigma * offset, {**self.mirrored, "sign": 1})

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        pair, sign = sample.origin["pair"], sample.origin["sign"]
        loss = float(evaluation.losses[0])
        if pair not in self.halves:
            self.halves[pair] = sign, loss
            return
        other_sign, other = self.halves.pop(pair)
        difference = sign * loss + other_sign * other
        self.complete.append((0.0 if math.isnan(difference) else difference, sample.origin["offset"]))
        if len(self.complete) == self.pairs:
            offsets = torch.stack([offset for _, offset in self.complete])
            changes = torch.tensor([y for y, _ in self.complete], dtype=torch.float64, device=offsets.device)
            self.complete = []
            self.descend(normalised(changes).to(offsets) @ offsets / self.pairs)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, **super().status()}
