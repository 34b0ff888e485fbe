"""A floor of irregular tiles: find their counts, rotation, jitter, joints and colours. Integer and real coordinates.

Each pixel has the colour of the nearest tile centre (a Voronoi diagram of a jittered grid), or the colour of the joint
between tiles. There is no blending: the tile of a pixel changes abruptly, so counts, rotation, jitter and joint have no
gradient. Only the colours have one.
"""

import torch
from torch import Tensor

from tasks.pattern import Pattern
from zg.seeding import make_generator
from zg.space import Block

# The pattern of tiles repeats after 64 tiles, more than the largest count.
LATTICE = 64
JOINT_COLOUR = 0.12
# The parameters of the reference.
HIDDEN = {
    "tiles": Block([7.0, 5.0], low=2, high=16, kind="integer"),
    "rotation": Block(20.0, low=-45, high=45),
    "jitter": Block(0.5, low=0, high=1),
    "joint": Block(0.08, low=0, high=0.2),
    "colours": Block(torch.tensor([[0.80, 0.32, 0.20], [0.93, 0.80, 0.55], [0.16, 0.40, 0.50]]), low=0, high=1),
}


class Mosaic(Pattern):
    """Tile counts across and down, rotation, jitter, joint width and three colours: n = 14."""

    hidden = HIDDEN

    def prepare(self) -> None:
        floor = make_generator(0, "mosaic", "floor")
        self.shifts = (torch.rand(LATTICE**2, 2, generator=floor) - 0.5).to(self.device)
        self.kinds = torch.randint(3, (LATTICE**2,), generator=floor).to(self.device)
        self.pixels = self.pixels - 0.5  # the rotation is about the centre of the image
        near = torch.tensor([-1.0, 0.0, 1.0])
        self.neighbours = torch.cartesian_prod(near, near).to(self.device)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        part = self.space.split(x.float())
        angle = part["rotation"].reshape(-1).deg2rad()
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
        place = self.pixels @ turn * part["tiles"][:, None, :]  # [B, P, 2], one tile a unit
        cell = place.floor()[:, None] + self.neighbours[:, None]  # [B, 9, P, 2]
        wrapped = cell.long() % LATTICE
        number = wrapped[..., 0] + LATTICE * wrapped[..., 1]
        jitter = part["jitter"].reshape(-1, 1, 1, 1)
        centre = cell + 0.5 + jitter * self.shifts[number]
        distance = (centre - place[:, None]).square().sum(-1)
        nearest = distance.argmin(1, keepdim=True)
        colour = torch.gather(self.kinds[number], 1, nearest)[:, 0]  # [B, P]
        image = torch.gather(part["colours"], 1, colour[..., None].expand(-1, -1, 3))
        joint = self.edge(centre, distance, nearest) < part["joint"].reshape(-1, 1) / 2
        image = torch.where(joint[..., None], JOINT_COLOUR, image)
        return self.image(image)

    def edge(self, centre: Tensor, distance: Tensor, nearest: Tensor) -> Tensor:
        """Distance of each pixel from the edge of its tile [B, P], in tiles: that to the nearest bisector.

        centre [B, 9, P, 2] and squared distance [B, 9, P] of the tiles around; index of the nearest tile [B, 1, P].
        """
        own = torch.gather(centre, 1, nearest[..., None].expand(-1, -1, -1, 2))
        gap = (centre - own).square().sum(-1).sqrt()
        bisector = (distance - torch.gather(distance, 1, nearest)) / (2 * gap.clamp_min(1e-9))
        return bisector.scatter(1, nearest, torch.inf).amin(1)
