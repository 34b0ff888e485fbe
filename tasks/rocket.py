"""Optimal control: when must a rocket turn off its engine to reach the moon (the paper's first figure)?

A planet and its moon circle their barycentre, and a ship without mass flies in their plane (the circular restricted
three-body problem). Units: the distance of the two bodies, their total mass and the gravitational constant are 1, so
the bodies turn by one radian in one unit of time. A booster releases the ship at a speed that is too low for an orbit,
and the ship's own engine then burns along the path. After a short burn the ship falls back, after a long burn it is
lost; between the two it circles the planet or meets the moon. The engine's computer rounds times to whole ticks, and a
ship that touches a body stays there. So the loss has steps, plateaus and jumps, and its derivative is zero.
"""

import cmath
import math
from collections.abc import Iterator

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from zg.errors import SettingError, check_positive, check_whole
from zg.pictures import from_figure, one_plot
from zg.space import Block, ParameterSpace
from zg.task import RunView, Task

PLANET_RADIUS, MOON_RADIUS = 0.2, 0.06
# Where the booster releases the ship: behind the planet as seen from the moon, in a flight parallel to the ground.
SITE, RELEASE_RADIUS = math.pi, 0.25
# Speed at release, as a fraction of the speed of a circular orbit there.
RELEASE_SPEED = 0.85
# Resolution of the engine's computer: of times, and of angles in radians.
TICK, ANGLE_STEP = 1e-3, 1e-2
# The loss of a ship that crashed on the planet, and the largest loss of any ship.
LOST = 1.5
FILM_FRAMES = 40


class Rocket(Task):
    """One burn time (n = 1). More stages add burn times and the pauses between them; `steer` adds directions.

    The loss is the ship's distance from the surface of the moon at the time of arrival, at most LOST. It is 0 for a
    ship that has landed on the moon.
    stages: engines; each burns once. steer: whether their directions are parameters (radians, relative to the direction
    of flight). thrust: acceleration by an engine. longest: upper bound of each burn time. duration: time until arrival.
    steps: of the integrator (classical Runge-Kutta). moon: mass of the moon, as a fraction of the total mass.
    """

    def __init__(
        self,
        stages: int = 1,
        steer: bool = False,
        thrust: float = 2.0,
        longest: float = 0.8,
        duration: float = 2.0,
        steps: int = 400,
        moon: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(thrust=thrust, longest=longest, duration=duration)
        check_whole(stages=stages, steps=steps)
        if not 0 <= moon <= 0.5:
            raise SettingError(f"moon must be from 0 to 0.5, got {moon}")
        self.stages, self.steer, self.thrust, self.longest = stages, steer, thrust, longest
        self.duration, self.steps, self.moon = duration, steps, moon

    def build(self) -> None:
        draw = torch.rand(3, self.stages, generator=self.generator("start"), dtype=torch.float64)
        blocks = {"burn": Block(self.longest * (0.625 + 0.25 * draw[0]), low=0.0, high=self.longest)}
        if self.stages > 1:
            blocks["pause"] = Block(0.1 * draw[1, 1:], low=0.0, high=0.5)
        if self.steer:
            blocks["angle"] = Block(0.4 * draw[2] - 0.2, low=-math.pi / 2, high=math.pi / 2)
        self.space = ParameterSpace(blocks)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        path, crashed = self.fly(x)
        distance = (path[-1] - (1 - self.moon)).abs() - MOON_RADIUS
        return torch.where(crashed, LOST, distance.clamp(0, LOST))

    def fly(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, n] -> places [steps + 1, B], and whether the ship crashed on the planet [B].

        Places are complex numbers in the rotating frame, where the planet is at −moon and the moon at 1 − moon.
        """
        push = self.schedule(x)
        dt = self.duration / self.steps
        planet = -self.moon
        speed = RELEASE_SPEED * math.sqrt((1 - self.moon) / RELEASE_RADIUS)
        outwards = cmath.rect(1, SITE)
        place = push.new_full((len(x),), planet + RELEASE_RADIUS * outwards)
        velocity = push.new_full((len(x),), 1j * (speed * outwards + planet))
        path = [place]
        crashed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        down = crashed
        for k in range(self.steps):
            place, velocity = self.step(place, velocity, k * dt, dt, push[k])
            turn = cmath.rect(1, (k + 1) * dt)
            seen = torch.where(down, path[-1], place / turn)
            path.append(seen)
            crashed = crashed | (~down & ((seen - planet).abs() < PLANET_RADIUS))
            down = crashed | down | ((seen - planet - 1).abs() < MOON_RADIUS)
            # A ship that is down turns with its body. Its velocity is not used again.
            place = torch.where(down, seen * turn, place)
        return torch.stack(path), crashed

    def schedule(self, x: Tensor) -> Tensor:
        """x [B, n] -> thrust in each step relative to the direction of flight: [steps, B], complex."""
        parts = self.space.split(x)
        burn = (parts["burn"] / TICK).round() * TICK
        pause = (parts["pause"] / TICK).round() * TICK if "pause" in parts else burn[:, :0]
        angle = (parts["angle"] / ANGLE_STEP).round() * ANGLE_STEP if self.steer else torch.zeros_like(burn)
        dt = self.duration / self.steps
        now = torch.arange(self.steps, dtype=x.dtype, device=x.device)[:, None] * dt
        push = torch.zeros(self.steps, len(x), dtype=torch.complex128, device=x.device)
        end = torch.zeros_like(burn[:, 0])
        for stage in range(self.stages):
            start = end + pause[:, stage - 1] if stage else end
            end = start + burn[:, stage]
            on = ((end - now) / dt).clamp(0, 1) - ((start - now) / dt).clamp(0, 1)
            push = push + self.thrust * torch.polar(on, angle[:, stage].expand_as(on))
        return push

    def step(self, place: Tensor, velocity: Tensor, time: float, dt: float, push: Tensor) -> tuple[Tensor, Tensor]:
        """One Runge-Kutta step of places and velocities [B], complex, in the inertial frame."""
        v1 = velocity
        a1 = self.acceleration(place, v1, time, push)
        v2 = velocity + dt / 2 * a1
        a2 = self.acceleration(place + dt / 2 * v1, v2, time + dt / 2, push)
        v3 = velocity + dt / 2 * a2
        a3 = self.acceleration(place + dt / 2 * v2, v3, time + dt / 2, push)
        v4 = velocity + dt * a3
        a4 = self.acceleration(place + dt * v3, v4, time + dt, push)
        return place + dt / 6 * (v1 + 2 * (v2 + v3) + v4), velocity + dt / 6 * (a1 + 2 * (a2 + a3) + a4)

    def acceleration(self, place: Tensor, velocity: Tensor, time: float, push: Tensor) -> Tensor:
        """Gravity of both bodies, and thrust along the velocity relative to the planet: [B], complex."""
        turn = cmath.rect(1, time)
        to_planet, to_moon = -self.moon * turn - place, (1 - self.moon) * turn - place
        flight = velocity + 1j * self.moon * turn
        gravity = to_planet * ((1 - self.moon) / to_planet.abs() ** 3) + to_moon * (self.moon / to_moon.abs() ** 3)
        return gravity + push * flight / flight.abs()

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor:
        """Flight paths of the start, the current and the best θ, in the rotating frame."""
        named = {"start": (self.space.to_user(self.space.init), "#999999")}
        if view is not None and view.renders:
            named["best"] = (view.best_x, "#009e73")
        named["current"] = (x, "#d55e00")
        batch = torch.stack([theta.to(self.device) for theta, _ in named.values()])
        paths = self.fly(batch)[0].cpu()
        burning = (self.schedule(batch).abs() > 0).cpu()
        renders = f"{view.renders} renders, " if view is not None else ""
        figure, axes = self._sky(f"{renders}distance to the moon {float(image):.3g}")
        for k, (name, (_, colour)) in enumerate(named.items()):
            draw_path(axes, paths[:, k], burning[:, k], colour, name)
        axes.legend(loc="upper left")
        return from_figure(figure)

    def film(self, x: Tensor) -> Iterator[Tensor]:
        """The flight, in the rotating frame."""
        path = self.fly(x[None])[0][:, 0].cpu()
        burning = (self.schedule(x[None])[:, 0].abs() > 0).cpu()
        for frame in range(1, FILM_FRAMES + 1):
            step = frame * self.steps // FILM_FRAMES
            figure, axes = self._sky(f"time {step * self.duration / self.steps:.2f}")
            draw_path(axes, path[: step + 1], burning[:step], "#d55e00", "")
            yield from_figure(figure)

    def _sky(self, title: str) -> tuple[Figure, Axes]:
        """A picture of both bodies without a ship."""
        figure, axes = one_plot()
        axes.set_facecolor("#0b1021")
        bodies = (("planet", -self.moon, PLANET_RADIUS, "#0072b2"), ("moon", 1 - self.moon, MOON_RADIUS, "#f0e442"))
        for name, where, radius, colour in bodies:
            axes.add_patch(Circle((where, 0), radius, color=colour))
            axes.text(where, -radius - 0.06, name, ha="center", va="top", color="white")
        axes.set(xlim=(-0.9, 2.3), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[], title=title)
        return figure, axes


def draw_path(axes: Axes, path: Tensor, burning: Tensor, colour: str, name: str) -> None:
    """Draw a path [K + 1] of complex places, thick where the engine burns [K], and the ship at its end."""
    axes.plot(path.real, path.imag, color=colour, linewidth=1.5, label=name)
    lit = path[1:].masked_fill(~burning, complex(math.nan, math.nan))
    axes.plot(lit.real, lit.imag, color=colour, linewidth=4, alpha=0.6)
    axes.plot(path[-1].real, path[-1].imag, "o", color=colour, markersize=7)
