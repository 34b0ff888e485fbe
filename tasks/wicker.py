"""A woven whale in Blender: how many stakes run along it, how many hoops around it, and how thick is it?

Counts are integers, so nothing has a gradient in them; and each strand more shifts all the others, so that picture by
picture only the exact count fits. What leads there is how dense the weave is: a coarse loss sees that.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d

from tasks.hidden import guess_around
from tasks.renderers.blender import SCENES, BlenderTask
from zg.errors import SettingError, check_positive
from zg.losses import Loss
from zg.space import Block

HIDDEN = {
    "horizontal": Block(14.0, low=6, high=30, kind="integer"),
    "vertical": Block(24.0, low=8, high=40, kind="integer"),
    "radius": Block(1.0, low=0.6, high=1.3),
}
SHAPE = (128, 192)


class Wicker(BlenderTask):
    """Counts of horizontal stakes and of vertical ones (the hoops), and the radius: n = 3.

    The loss compares how dense the weave is in both colours, place by place: pictures are averaged over squares of
    `window` pixels first. far: how far off each coordinate starts, at most, as a part of its range.
    """

    def __init__(
        self,
        far: float = 0.3,
        window: int = 32,
        loss: str | Loss = "mse",
        engine: str = "workbench",
        oversample: int = 2,
        blender: str | None = None,
        workers: int = 2,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(loss, engine, oversample, blender, workers, timeout)
        check_positive(far=far)
        if not 1 <= window <= min(SHAPE):
            raise SettingError(f"window must be from 1 to {min(SHAPE)} pixels, got {window}")
        self.far, self.window = far, window

    def build(self) -> None:
        self.space, self.solution = guess_around(HIDDEN, self.far, self.generator("start"))
        height, width = SHAPE
        self.open_scene(SCENES / "wicker.py", width, height)
        self.set_reference(self.render(self.solution[None])[0])

    def loss(self, images: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        return super().loss(avg_pool2d(images, self.window), avg_pool2d(reference, self.window))

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        assert self.solution is not None
        horizontal, vertical, radius = (x.cpu() - self.solution).abs().tolist()
        exact = float(horizontal == vertical == 0)
        return {"counts_exact": exact, "horizontal_off": horizontal, "vertical_off": vertical, "radius_off": radius}
