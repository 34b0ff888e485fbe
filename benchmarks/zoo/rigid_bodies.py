"""Rigid bodies in MuJoCo, with contacts: what is drawn is where they were at some moments."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.zoo.base import HARD, MANY, SYMMETRIC, Array, Painted, Part, boxed
from zg.extras import load_package

#: A body that moves in the plane of x and z.
PLANAR = '<joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/><joint type="hinge" axis="0 1 0"/>'


class RigidBodies(Painted):
    """A scene of MuJoCo's, simulated for STEPS steps, and drawn every EVERY steps from the side."""

    SIZE, STEPS, EVERY = 40, 60, 12
    STEP = 0.02

    def load(self, bodies: str, more: str = "") -> None:
        """The model, from the bodies and the other elements of its XML."""
        self.mujoco: Any = load_package("mujoco", f"the problem '{self.name}'")
        self.model = self.mujoco.MjModel.from_xml_string(
            f'<mujoco><option timestep="{self.STEP}"/><worldbody>{bodies}</worldbody>{more}</mujoco>'
        )
        self.data = self.mujoco.MjData(self.model)

    def simulate(self, speed: Array | None = None, control: Array | None = None) -> list[tuple[Array, Array]]:
        """Centres [bodies, 2] and turns [bodies] at each drawn moment.

        speed: that of the first joints at the start. control: [STEPS / EVERY, motors], held for EVERY steps each.
        """
        self.mujoco.mj_resetData(self.model, self.data)
        if speed is not None:
            self.data.qvel[: len(speed)] = speed
        moments = []
        for moment in range(self.STEPS // self.EVERY):
            if control is not None:
                self.data.ctrl[:] = control[moment]
            self.mujoco.mj_step(self.model, self.data, self.EVERY)
            across = self.data.xmat.reshape(-1, 3, 3)[1:, [0, 2], 0]  # each body's own x axis
            moments.append((self.data.xpos[1:, [0, 2]].copy(), np.arctan2(across[:, 1], across[:, 0])))
        return moments

    def canvas(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        picture = Image.new("L", (self.SIZE, self.SIZE), 0)
        return picture, ImageDraw.Draw(picture)

    def pixel(self, place: Array, scale: float) -> Array:
        """Pixels of places [..., 2] in metres; the ground is the last row."""
        return np.stack([scale * place[..., 0], self.SIZE - 2 - scale * place[..., 1]], -1)


class Throw(RigidBodies):
    """A ball is thrown at a stack of boxes: angle and speed; n = 2. Most throws miss, and hits differ."""

    name = "throw"
    traits = (HARD, MANY)

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        boxes = "".join(
            f'<body pos="{2.4 + rng.uniform(-0.05, 0.05)} 0 {0.21 + 0.42 * k}">{PLANAR}'
            f'<geom type="box" size=".2 .2 .2" density="100"/></body>'
            for k in range(4)
        )
        self.load(
            '<geom type="plane" size="9 9 1"/>'
            f'<body pos=".3 0 .3">{PLANAR}<geom type="sphere" size=".15" density="3000"/></body>' + boxes
        )
        return {
            "angle": Part(rng.uniform(0.1, 1.4), 0, 1.5, goal=rng.uniform(0.2, 0.8)),
            "speed": Part(rng.uniform(3, 9), 2, 10, goal=rng.uniform(5, 8)),
        }

    def paint(self, angle: Array, speed: Array) -> Image.Image:
        picture, pen = self.canvas()
        for k, (places, turns) in enumerate(self.simulate(float(speed) * np.array([np.cos(angle), np.sin(angle)]))):
            pixels = self.pixel(places, 9.5)
            x, y = pixels[0]
            pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=100 + 30 * k)
            if k == self.STEPS // self.EVERY - 1:
                for centre, turn in zip(pixels[1:], turns[1:], strict=True):
                    angles = -turn + np.pi * (0.25 + 0.5 * np.arange(4))
                    corners = centre + 2.7 * np.stack([np.cos(angles), np.sin(angles)], 1)
                    pen.polygon([tuple(corner) for corner in corners], fill=200)
        return picture


class Chain(RigidBodies):
    """A chain of four links swings: lengths, masses and damping, whose logarithms have no bounds; n = 9."""

    name = "chain"
    traits = (HARD, MANY)
    STEPS, EVERY = 60, 6

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        links = "".join(
            '<body><joint type="hinge" axis="0 1 0"/><geom type="sphere" size=".05" contype="0" conaffinity="0"/>'
            for _ in range(4)
        )
        self.load(links + 4 * "</body>")
        return {
            "log_length": boxed(rng, -0.8, -0.3, 4, share=0.4, bounded=False),
            "log_mass": boxed(rng, -1, 1, 4, share=0.4, bounded=False),
            "log_damping": boxed(rng, -4, -1, share=0.3, bounded=False),
        }

    def paint(self, log_length: Array, log_mass: Array, log_damping: Array) -> Image.Image:
        length, mass = np.exp(log_length), np.exp(log_mass)
        self.model.geom_pos[:, 0] = self.model.body_ipos[1:, 0] = length
        self.model.body_pos[2:, 0] = length[:-1]
        self.model.body_mass[1:], self.model.body_inertia[1:] = mass, 0.001 * mass[:, None]
        self.model.dof_damping[:] = np.exp(log_damping)
        picture, pen = self.canvas()
        for k, (places, turns) in enumerate(self.simulate()):
            tip = places[-1] + length[-1] * np.array([np.cos(turns[-1]), np.sin(turns[-1])])
            joints = np.concatenate([places, tip[None]]) + np.array([2.6, 3.4])
            pixels = [tuple(pixel) for pixel in self.pixel(joints, 7.5)]
            pen.line(pixels[-2:], fill=80 + 17 * k, width=2)
            pen.line(pixels[:-1], fill=40 + 8 * k)
        return picture


class Arm(RigidBodies):
    """The torques of an arm of three joints at 20 moments, from the trail of its hand; n = 60. It starts at rest."""

    name = "arm"
    traits = (HARD, SYMMETRIC)
    STEPS, EVERY = 60, 3

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        link = (
            '<joint name="j{0}" type="hinge" axis="0 1 0" damping=".4"/>'
            '<geom type="capsule" fromto="0 0 0 .6 0 0" size=".05" density="100" contype="0" conaffinity="0"/>'
        )
        arm = "".join(f'<body pos="{0.6 * (k > 0)} 0 0">' + link.format(k) for k in range(3)) + 3 * "</body>"
        motors = "".join(f'<motor joint="j{k}" gear="6"/>' for k in range(3))
        self.load(arm, f"<actuator>{motors}</actuator>")
        self.model.opt.gravity[:] = 0
        knots = rng.uniform(-0.9, 0.9, (5, 3))
        goal = np.stack([np.interp(np.linspace(0, 4, 20), np.arange(5), knot) for knot in knots.T], 1)
        return {"torque": Part(np.zeros((20, 3)), -1, 1, goal=goal * [1, 0.6, 0.3])}

    def paint(self, torque: Array) -> Image.Image:
        picture, pen = self.canvas()
        tips = []
        for places, turns in self.simulate(control=torque):
            tips.append(places[-1] + 0.6 * np.array([np.cos(turns[-1]), np.sin(turns[-1])]))
        pixels = self.pixel(np.array(tips) + 2.0, 9.5)
        for k in range(len(pixels) - 1):
            pen.line([tuple(pixels[k]), tuple(pixels[k + 1])], fill=60 + 10 * k, width=2)
        return picture


PROBLEMS = (Throw, Chain, Arm)
