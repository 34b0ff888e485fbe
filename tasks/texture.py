"""Every pixel value of a texture is a parameter, up to 196,608 in all. The renderer returns them as they are."""

import torch
from torch import Tensor

from tasks.images import load_image
from zg.errors import SettingError
from zg.losses import Losses
from zg.space import Block, ParameterSpace
from zg.task import Task


class Texture(Task):
    """The pixels of an RGB image, which start at 0.5 + 0.05 · N(0, 1) (the paper's texture experiment).

    size: pixels along a side, 1 to 256. reference: a path or one of scikit-image's bundled images.
    """

    def __init__(self, size: int = 64, reference: str = "astronaut", loss: Losses = "scale_independent") -> None:
        super().__init__(loss)
        if not 1 <= size <= 256:
            raise SettingError(f"size must be from 1 to 256, got {size}")
        self.size, self.reference_image = size, reference

    def build(self) -> None:
        noise = torch.randn(3, self.size, self.size, generator=self.generator("start"))
        self.space = ParameterSpace(pixels=Block((0.5 + 0.05 * noise).clamp(0, 1), low=0.0, high=1.0))
        self.set_reference(load_image(self.reference_image, self.size))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.space.split(x)["pixels"].float()
