"""Monte Carlo light transport with few samples a pixel: two renders of the same parameters differ."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.zoo.base import SYMMETRIC, Batched, Part, boxed, pixel_centres, uniform

FAR = 1e9


def sphere_distance(origin: Tensor, way: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """Distance [B, R] along rays [B, R, 3] of unit direction to a sphere, centre [B, 3], radius [B]; FAR if missed."""
    offset = origin - centre[:, None]
    b = (offset * way).sum(-1)
    inner = b.square() - offset.square().sum(-1) + radius[:, None].square()
    distance = -b - inner.clamp_min(0).sqrt()
    return torch.where((inner > 0) & (distance > 1e-3), distance, FAR)


class PathTracer(Batched):
    """Two balls on a floor under a square light: 2 paths a pixel, 2 bounces, 20²; n = 15."""

    name = "path_tracer"
    noisy = True
    SIZE, PATHS, BOUNCES = 20, 2, 2

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = (axis.reshape(-1).repeat(self.PATHS) for axis in pixel_centres(self.SIZE, -1, 1))
        self.screen = torch.stack([x, -y], -1)
        return {
            "ball": boxed(rng, [-1.2, 0.3, -0.8], [0.2, 0.9, 0.6], 3, share=0.25),
            "ball_radius": boxed(rng, 0.3, 0.8, share=0.3),
            "ball_colour": boxed(rng, 0, 1, 3, share=0.4),
            "marble": boxed(rng, [0, -0.8], [1.4, 0.8], 2, share=0.25),
            "marble_radius": boxed(rng, 0.2, 0.7, share=0.3),
            "marble_tint": boxed(rng, 0, 1, share=0.4),
            "light": boxed(rng, [-1.5, 1.6, -1.5], [1.5, 3, 1.5], 3, share=0.25),
            "power": boxed(rng, 2, 12, share=0.3),
        }

    def draw(self, seeds: Tensor, **scene: Tensor) -> Tensor:
        rays = len(self.screen)
        random = uniform(seeds, 2 + 5 * self.BOUNCES, rays)
        x, y = self.screen.T[:, None] + (random[:, :2].movedim(1, 0) - 0.5) * 2 / self.SIZE
        way = normalize(torch.stack([0.55 * x, 0.55 * y - 0.25, -torch.ones_like(x)], -1), dim=-1)
        place = torch.tensor([0, 1.4, 3.6]).expand_as(way)
        radiance, weight = torch.zeros_like(way), torch.ones_like(way)
        for bounce in random[:, 2:].chunk(self.BOUNCES, 1):
            distance, normal, albedo = self.hit(place, way, scene)
            missed = (distance >= FAR)[..., None]
            radiance = radiance + 0.2 * weight * missed
            weight = weight * albedo * ~missed
            place = place + distance.clamp_max(50)[..., None] * way + 1e-3 * normal
            spread = torch.stack([bounce[:, 0], bounce[:, 1], bounce[:, 2]], -1) - 0.5
            to_light = scene["light"][:, None] + 0.6 * spread - place
            squared = to_light.square().sum(-1)
            to_light = to_light / squared.sqrt()[..., None]
            lit = self.hit(place, to_light, scene)[0].square() > squared
            shade = lit * (normal * to_light).sum(-1).clamp_min(0) * scene["power"][:, None] / (math.pi * squared)
            radiance = radiance + weight * shade[..., None]
            height, angle = 2 * bounce[:, 3] - 1, 2 * math.pi * bounce[:, 4]
            flat = (1 - height.square()).sqrt()
            way = normalize(normal + 0.999 * torch.stack([flat * angle.cos(), flat * angle.sin(), height], -1), dim=-1)
        return radiance.unflatten(1, (self.PATHS, -1)).mean(1).mT.unflatten(2, (self.SIZE, self.SIZE))

    def hit(self, origin: Tensor, way: Tensor, scene: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Distance [B, R], normal and albedo [B, R, 3] of what rays [B, R, 3] meet first."""
        floor = -origin[..., 1] / way[..., 1]
        distance = torch.where(floor > 1e-3, floor, FAR)
        normal = torch.tensor([0.0, 1.0, 0.0]).expand_as(way)
        albedo = torch.full_like(way, 0.7)
        marble, radius, tint = scene["marble"], scene["marble_radius"], scene["marble_tint"]
        resting = torch.stack([marble[:, 0], radius, marble[:, 1]], -1)
        tinted = torch.stack([torch.full_like(tint, 0.2), tint, 0.9 - 0.5 * tint], -1)
        balls = ((scene["ball"], scene["ball_radius"], scene["ball_colour"]), (resting, radius, tinted))
        for centre, size, colour in balls:
            along = sphere_distance(origin, way, centre, size)
            nearer = along < distance
            distance = torch.where(nearer, along, distance)
            outward = (origin + along[..., None] * way - centre[:, None]) / size[:, None, None]
            normal = torch.where(nearer[..., None], outward, normal)
            albedo = torch.where(nearer[..., None], colour[:, None], albedo)
        return distance, normal, albedo


class SoftShadow(Batched):
    """The shadow of a ball under a square light, from above, 24²: 2 shadow rays a pixel; n = 9, without bounds."""

    name = "soft_shadow"
    noisy = True
    SIZE, RAYS = 24, 2

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = (axis.reshape(-1).repeat(self.RAYS) for axis in pixel_centres(self.SIZE, -1, 1))
        self.floor = torch.stack([x, y, torch.zeros_like(x)], -1)
        return {
            "light": boxed(rng, [-1, -1, 2], [1, 1, 3], 3, share=0.3, bounded=False),
            "log_light_size": boxed(rng, -1.5, 0, share=0.4, bounded=False),
            "log_power": boxed(rng, 1.8, 2.6, share=0.3, bounded=False),
            "ball": boxed(rng, [-0.6, -0.6, 0.4], [0.6, 0.6, 1], 3, share=0.3, bounded=False),
            "log_radius": boxed(rng, -1.5, -0.8, share=0.4, bounded=False),
        }

    def draw(
        self,
        seeds: Tensor,
        light: Tensor,
        log_light_size: Tensor,
        log_power: Tensor,
        ball: Tensor,
        log_radius: Tensor,
    ) -> Tensor:
        spread = uniform(seeds, len(self.floor), 2) - 0.5
        spread = torch.cat([spread, torch.zeros_like(spread[..., :1])], -1)
        to_light = light[:, None] + log_light_size.exp()[:, None, None] * spread - self.floor
        squared = to_light.square().sum(-1)
        way = to_light / squared.sqrt()[..., None]
        lit = sphere_distance(self.floor.expand_as(way), way, ball, log_radius.exp()) >= FAR
        shade = 0.05 + lit * way[..., 2].square() * log_power.exp()[:, None] / (math.pi * squared)
        return shade.unflatten(1, (self.RAYS, 1, self.SIZE, self.SIZE)).mean(1)


class Room(Batched):
    """Light between 40 patches of the walls of a flat room: 24 paths a pixel, 3 bounces, 12²; n = 80.

    At the start all patches reflect and shine alike.
    """

    name = "room"
    traits = (SYMMETRIC,)
    noisy = True
    samples = 64
    SIZE, PATHS, BOUNCES, PATCHES = 12, 24, 3, 10

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        x, y = (axis.reshape(-1).repeat(self.PATHS) for axis in pixel_centres(self.SIZE))
        self.inside = torch.stack([x, y], -1)
        count = 4 * self.PATCHES
        lamps = np.full(count, 0.02)
        for first in rng.integers(0, count, 3):
            lamps[(first + np.arange(rng.integers(2, 6))) % count] = rng.uniform(0.5, 1)
        return {
            "albedo": boxed(rng, 0, 0.95, count, start=0.5),
            "emission": Part(np.full(count, 0.15), 0, 1, goal=lamps),
        }

    def draw(self, seeds: Tensor, albedo: Tensor, emission: Tensor) -> Tensor:
        random = uniform(seeds, self.BOUNCES, len(self.inside))
        place, radiance = self.inside.expand(len(seeds), -1, -1), torch.zeros_like(random[:, 0])
        weight = torch.ones_like(radiance)
        sector = torch.arange(self.PATHS).repeat_interleave(self.SIZE**2)  # a path in each, for less noise
        angle = 2 * math.pi * (sector + random[:, 0]) / self.PATHS
        for bounce in range(self.BOUNCES):
            way = torch.stack([angle.cos(), angle.sin()], -1)
            reach = torch.where(way > 0, 1 - place, -place) / way
            distance, axis = reach.min(-1)
            place = (place + distance[..., None] * way).clamp(0, 1)
            upper = torch.gather(way, 2, axis[..., None])[..., 0] > 0
            along = torch.gather(place, 2, 1 - axis[..., None])[..., 0]
            patch = (along * self.PATCHES).long().clamp_max(self.PATCHES - 1)
            patch = patch + self.PATCHES * (2 * axis + upper)
            radiance = radiance + weight * torch.gather(emission, 1, patch)
            weight = weight * torch.gather(albedo, 1, patch)
            if bounce + 1 < self.BOUNCES:  # with the cosine's density about the wall's inward normal
                tilt = (2 * random[:, bounce + 1] - 1).asin()
                inward = axis * (math.pi / 2) + math.pi * upper
                angle = inward + tilt
        return radiance.unflatten(1, (self.PATHS, 1, self.SIZE, self.SIZE)).mean(1)


PROBLEMS = (PathTracer, SoftShadow, Room)
