"""Scenes of signed distances, met by sphere tracing from a camera."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.zoo.base import HARD, MANY, Batched, Part, boxed, pixel_centres

Distance = Callable[[Tensor], Tensor]  # places [B, P, 3] -> distances [B, P]


class Traced(Batched):
    """A scene before a camera that looks at its middle."""

    SIZE, STEPS, FAR = 20, 13, 8.0

    def screen(self) -> None:
        self.x, self.y = (axis.reshape(1, -1) for axis in pixel_centres(self.SIZE, -1, 1))

    def rays(self, azimuth: Tensor, elevation: Tensor, away: Tensor, zoom: Tensor) -> tuple[Tensor, Tensor]:
        """Origins [B, 1, 3] and unit directions [B, P, 3] of a camera of angles, distance and focal length [B]."""
        up = torch.stack([-elevation.sin() * azimuth.sin(), elevation.cos(), -elevation.sin() * azimuth.cos()], -1)
        back = torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], -1)
        right = torch.linalg.cross(up, back)
        way = self.x[..., None] * right[:, None] - self.y[..., None] * up[:, None] - (zoom[:, None] * back)[:, None]
        return (away[:, None] * back)[:, None], normalize(way, dim=-1)

    def trace(self, distance: Distance, origin: Tensor, way: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places [B, P, 3], whether something is there, and Lambert's shade under a fixed light, both [B, P]."""
        along = torch.zeros(way.shape[:2])
        for _ in range(self.STEPS):
            along = along + distance(origin + along[..., None] * way).clamp_min(-0.1)
        along = along.clamp_max(self.FAR)
        place = origin + along[..., None] * way
        here, small = distance(place), 1e-2
        slopes = [distance(place + small * axis) - here for axis in torch.eye(3)]
        normal = normalize(torch.stack(slopes, -1), dim=-1)
        shade = 0.25 + 0.75 * (normal @ torch.tensor([0.48, 0.8, 0.36])).clamp_min(0)
        return place, (here < 0.03) & (along < self.FAR), shade

    def image(self, hit: Tensor, shade: Tensor, colour: Tensor) -> Tensor:
        """hit and shade [B, P], colour [B, P, 3] -> images over a fixed sky."""
        sky = torch.tensor([0.55, 0.65, 0.8])
        return torch.where(hit[..., None], shade[..., None] * colour, sky).mT.unflatten(2, (self.SIZE, self.SIZE))


class OrbitCamera(Traced):
    """From where is a fixed group of boxes seen? Angles, distance and zoom; n = 4. It may start anywhere."""

    name = "orbit_camera"
    traits = (HARD, MANY)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.screen()
        self.middle = torch.from_numpy(rng.uniform(-0.9, 0.9, (4, 3))).float()
        self.half = torch.from_numpy(rng.uniform(0.15, 0.5, (4, 3))).float()
        self.colours = torch.from_numpy(rng.uniform(0.1, 1, (4, 3))).float()
        return {
            "azimuth": boxed(rng, -3.14, 3.14, share=1),
            "elevation": boxed(rng, -0.3, 1.4, share=1),
            "away": boxed(rng, 3, 5.5, share=1),
            "zoom": boxed(rng, 2.5, 4, share=1),
        }

    def boxes(self, place: Tensor) -> Tensor:
        """Distances [B, P, K]."""
        beyond = (place[..., None, :] - self.middle).abs() - self.half
        return beyond.clamp_min(0).square().sum(-1).sqrt() + beyond.amax(-1).clamp_max(0)

    def draw(self, *, azimuth: Tensor, elevation: Tensor, away: Tensor, zoom: Tensor) -> Tensor:
        origin, way = self.rays(azimuth, elevation, away, zoom)
        place, hit, shade = self.trace(lambda p: self.boxes(p).amin(-1), origin, way)
        return self.image(hit, shade, self.colours[self.boxes(place).argmin(-1)])


class Clay(Traced):
    """Five coloured balls that melt into each other; n = 36, without bounds. They start near."""

    name = "clay"
    COUNT = 5

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.screen()
        return {
            "middle": boxed(rng, -1.1, 1.1, self.COUNT, 3, share=0.12, bounded=False),
            "log_radius": boxed(rng, -1.2, -0.4, self.COUNT, share=0.3, bounded=False),
            "colour": boxed(rng, 0, 1, self.COUNT, 3, share=0.4, bounded=False),
            "log_melt": boxed(rng, -2.5, -1.2, share=0.4, bounded=False),
        }

    def draw(self, *, middle: Tensor, log_radius: Tensor, colour: Tensor, log_melt: Tensor) -> Tensor:
        radius, melt = log_radius.exp()[:, None], log_melt.exp()[:, None]

        def balls(place: Tensor) -> Tensor:
            offset = place[..., None, :] - middle[:, None]
            return offset.square().sum(-1).clamp_min(1e-8).sqrt() - radius

        ones = torch.ones(len(middle))
        origin, way = self.rays(0.5 * ones, 0.4 * ones, 4.5 * ones, 2.6 * ones)
        place, hit, shade = self.trace(lambda p: -melt * (-balls(p) / melt[..., None]).logsumexp(-1), origin, way)
        share = (-balls(place) / melt[..., None]).softmax(-1)
        return self.image(hit, shade, share @ colour)


class Colonnade(Traced):
    """Columns around a court: their count is whole, sizes, camera and colours are real; n = 12."""

    name = "colonnade"
    traits = (HARD,)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        self.screen()
        return {
            "count": boxed(rng, 3, 12, kind="integer", share=0.5),
            "turn": boxed(rng, -0.5, 0.5, share=0.5),
            "court": boxed(rng, 0.7, 1.5, share=0.3),
            "radius": boxed(rng, 0.06, 0.25, share=0.4),
            "height": boxed(rng, 0.3, 1.2, share=0.4),
            "elevation": boxed(rng, 0.2, 0.9, share=0.3),
            "stone": boxed(rng, 0, 1, 3, share=0.5),
            "ground": boxed(rng, 0, 1, 3, share=0.5),
        }

    def draw(self, *, stone: Tensor, ground: Tensor, **numbers: Tensor) -> Tensor:
        count, turn, court, radius, height = (
            numbers[name][:, None] for name in ("count", "turn", "court", "radius", "height")
        )
        sector = 2 * torch.pi / count

        def column(place: Tensor) -> Tensor:
            x, y, z = place.unbind(-1)
            angle = torch.atan2(z, x) - turn
            angle = angle - sector * (angle / sector).round()  # every column is the first one, turned
            away = torch.hypot(x, z)
            side = torch.hypot(away * angle.cos() - court, away * angle.sin()) - radius
            return torch.maximum(side, y - height)

        ones = torch.ones(len(stone))
        origin, way = self.rays(0.3 * ones, numbers["elevation"], 5 * ones, 3.2 * ones)
        place, hit, shade = self.trace(lambda p: torch.minimum(column(p), p[..., 1]), origin, way)
        is_column = (column(place) < place[..., 1])[..., None]
        return self.image(hit, shade, torch.where(is_column, stone[:, None], ground[:, None]))


PROBLEMS = (OrbitCamera, Clay, Colonnade)
