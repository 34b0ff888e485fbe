"""Patterns that are computed pixel by pixel from hidden parameters."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from tasks.hidden import guess_around
from zg.errors import SettingError, check_positive, check_whole
from zg.losses import Losses
from zg.memory import PIXEL_BYTES, check_memory
from zg.space import Block
from zg.task import Task

# Pixels in one call on a CPU: few enough for the intermediate results to stay in its cache.
CHUNK_PIXELS = 2**15


class Pattern(Task):
    """A task whose reference is the pattern of the `hidden` parameters.

    size: pixels along a side, at most 512. far: largest distance of a coordinate from the solution at the start, as a
    fraction of its range.
    """

    #: Blocks whose init is the hidden value.
    hidden: ClassVar[Mapping[str, Block]]

    def __init__(self, size: int = 64, far: float = 0.2, loss: Losses = "multiscale") -> None:
        super().__init__(loss)
        check_positive(far=far)
        check_whole(size=size)
        check_memory(PIXEL_BYTES * size**2, size=size)
        if size > 512:
            raise SettingError(f"size must be at most 512, got {size}")
        self.size, self.far = size, far

    def build(self) -> None:
        self.space, self.solution = guess_around(self.hidden, self.far, self.generator("start"))
        line = (torch.arange(self.size) + 0.5) / self.size
        self.pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2).to(self.device)
        self.prepare()
        self.set_reference(self.render(self.solution[None].to(self.device))[0])

    def prepare(self) -> None:
        """Compute what does not depend on the parameters. `self.pixels` [P, 2] are the pixel centres in [0, 1]²."""

    @property
    def chunk(self) -> int | None:
        """Renders in one call: few on a CPU, all on a GPU."""
        return max(1, CHUNK_PIXELS // self.size**2) if self.device.type == "cpu" else None

    def image(self, colours: Tensor) -> Tensor:
        """Colours [B, P, 3] of the pixels -> images [B, 3, size, size]."""
        return colours.transpose(1, 2).reshape(-1, 3, self.size, self.size)
