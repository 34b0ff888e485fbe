"""The Jacobian with memory: the picture as a linear function of x in each region.

    g(x) = I_r + J_r (x − a_r),   r: the region whose anchor a_r is nearest to x

It takes the place of the network in `zg.layer.surrogate`. Each region learns from the pairs of its rows
(`zg.layer.regions`). Where a region has had enough pairs, and still predicts a row badly, that row is the anchor of a
new region, which starts with the same J. When all regions are taken, one that was not used for long gives way.
After the dense surrogate of the picture, with a J for each place at which the network asks.
"""

from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError
from zg.layer.estimator import Pairs
from zg.layer.regions import JacobianSettings, Region

#: Steps without a row after which a region gives way to a new one.
IDLE = 200


class Jacobians:
    """The regions, in single precision. unit: the usual step of a coordinate; most: regions; steps: of learning."""

    def __init__(self, options: JacobianSettings) -> None:
        self.options = options
        self.regions: list[Region] = []
        self.unit, self.most, self.steps = 1.0, 0, 0

    @property
    def memory(self) -> int:
        """Number of regions."""
        return len(self.regions)

    def changes(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """v · Δg [pairs, B] for x [B, n], steps σ ε [pairs, B, n] and v [B, D]; g is that of the region of x."""
        return torch.einsum("bn,mbn->mb", self.gradient(x, steps, v), steps)

    def gradient(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """vᵀ J [B, n] of the region of each row of x [B, n], for v [B, D]. It is linear, so needs no samples."""
        found, nearest = torch.zeros_like(x), self._nearest(x)
        for number in sorted(set(nearest.tolist())):
            rows = nearest == number
            found[rows] = (v[rows].float() @ self.regions[number].slopes.T).to(x)
        return found

    def predict(self, x: Tensor) -> Tensor:
        """g(x) [B, D] of x [B, n], with a gradient for x alone. Raises SettingError before the first pair."""
        if not self.regions:
            raise SettingError("predict needs a surrogate that has learned from a backward step, got none yet")
        numbers = self._nearest(x.detach()).tolist()
        return torch.stack([self.regions[number].predict(row) for number, row in zip(numbers, x, strict=True)])

    def _nearest(self, x: Tensor) -> Tensor:
        """The number of the region of each row of x [B, n]."""
        if self.regions[0].anchor.device != x.device:
            self.regions = [region.to(x.device) for region in self.regions]
        anchors = torch.stack([region.anchor for region in self.regions])
        return torch.cdist(x.float(), anchors).argmin(1)

    def learn(self, x: Tensor, steps: Tensor, pairs: Pairs) -> None:
        """Learn from the valid pairs in the regions of their rows; make new regions."""
        columns = (x.expand_as(steps), steps, pairs.half, pairs.middle)
        x, steps, half, middle = (column[pairs.valid].float() for column in columns)
        if not len(x):
            return
        if not self.regions:
            self.most, self.unit = self.options.most(x.shape[1], half.shape[1]), float(steps.square().mean().sqrt())
            self.regions = [Region.first(x[0].clone(), middle[0].clone())]
        self.steps += 1
        nearest = self._nearest(x)
        for number in sorted(set(nearest.tolist())):
            rows, region = nearest == number, self.regions[number]
            errors = half[rows] - steps[rows] @ region.slopes
            lost = errors.square().sum(1) - self.options.new * half[rows].square().sum(1)
            worst, has_learned = int(lost.argmax()), region.pairs >= self.options.learned * x.shape[1]
            region.used = self.steps
            if has_learned and lost[worst] > 0:
                self._add(region.child(x[rows][worst], middle[rows][worst], self.steps))
            region.learn(x[rows], steps[rows], errors, middle[rows], self.unit)

    def _add(self, region: Region) -> None:
        """Add a region, in the place of the one that was used longest ago if there are enough."""
        oldest = min(range(len(self.regions)), key=lambda number: self.regions[number].used)
        if len(self.regions) < self.most:
            self.regions.append(region)
        elif self.regions[oldest].used < self.steps - IDLE:
            self.regions[oldest] = region

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, none of which changes later."""
        counts = {"unit": self.unit, "most": self.most, "steps": self.steps}
        return {**counts, "regions": [region.state() for region in self.regions]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state, on the device of its tensors."""
        self.unit, self.most, self.steps = state["unit"], state["most"], state["steps"]
        self.regions = [Region(**region) for region in state["regions"]]
