"""Where is the disk, and how large? Drawn with Pillow, which gives no gradients."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zg import Block, ParameterSpace, Task


class Disk(Task):
    """Position and radius of a disk, found from a picture of it."""

    def __init__(self, size: int = 48, radius: float = 12.0) -> None:
        super().__init__(loss="multiscale")
        self.size, self.radius = size, radius

    def build(self) -> None:
        middle = self.size / 2
        self.space = ParameterSpace(
            position=Block([middle, middle], low=0, high=self.size),
            radius=Block(5.0, low=2.0, high=middle),
        )
        u, v = 0.6 * self.size, 0.65 * self.size
        self.solution = torch.tensor([u, v, self.radius], dtype=torch.float64)
        self.set_reference(self.render_one(self.solution))

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        across, down, radius = x.tolist()
        image = Image.new("RGB", (self.size, self.size), "white")
        box = (across - radius, down - radius, across + radius, down + radius)
        ImageDraw.Draw(image).ellipse(box, fill="firebrick")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
