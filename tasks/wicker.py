"""A woven whale in Blender: how many stakes run along it, how many hoops run around it, and how thick is it?

The counts are integers and have no gradient. One more strand shifts all the others, so a loss of single pixels is small
at the exact counts only. Averaged over larger squares, the pictures show how dense the weave is, and this loss leads to
the counts.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d

from tasks.hidden import guess_around
from tasks.renderers.blender import SCENES, BlenderTask
from zg.errors import SettingError, check_positive
from zg.losses import Losses
from zg.space import Block

HIDDEN = {
    "horizontal": Block(14.0, low=6, high=30, kind="integer"),
    "vertical": Block(24.0, low=8, high=40, kind="integer"),
    "radius": Block(1.0, low=0.6, high=1.3),
}
SHAPE = (128, 192)


class Wicker(BlenderTask):
    """Counts of horizontal strands (stakes) and of vertical strands (hoops), and the radius of the body: n = 3.

    window: side in pixels of the squares over which pictures are averaged before the loss compares them. far: largest
    distance of a coordinate from the solution at the start, as a fraction of its range.
    """

    def __init__(
        self,
        far: float = 0.3,
        window: int = 32,
        loss: Losses = "mse",
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
