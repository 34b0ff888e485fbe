"""The methods that are compared, each at its default: those that are told losses, and those that see pictures.

The default of ZeroGrads; CMA-ES, PGPE, SNES, ES, BFGS, BOBYQA and NGOpt of `baselines`; and two libraries as one calls
them by hand, pycma and Nelder–Mead of SciPy. SNES and CMA-ES also run with three values of σ: the best of them for each
problem in hindsight is a bound on what a user who knows the right σ reaches.

Methods that see pictures are a field of their own: ZeroGrads that sees the picture, DFO-LS, FR22 on the image and the
per-pixel gradient, beside the default that is told losses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import cma
import numpy as np
import yaml
from scipy.optimize import minimize

from baselines.bfgs import BFGS
from baselines.bobyqa import BOBYQA
from baselines.called_back import CalledBack, Losses
from baselines.cmaes import CMAES
from baselines.es import ES
from baselines.fr22_image import FR22Image
from baselines.library import Replayed
from baselines.nevergrad import Nevergrad
from baselines.pgpe import PGPE
from baselines.pixel_gradient import PixelGradient
from baselines.snes import SNES
from zg.errors import SettingError
from zg.given import make_method
from zg.method import Method
from zg.zerograds.image import ImageZeroGrads
from zg.zerograds.method import ZeroGrads


class PyCMA(CalledBack):
    """`cma.fmin2` with restarts and σ = 0.2 of the box, the σ that COCO's example gives it."""

    inside = Replayed.inside  # it draws from NumPy's global generator

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        options: dict[str, Any] = {"verbose": -9, "seed": np.nan, "maxfevals": np.inf}
        if self.space.bounded:
            options["bounds"] = [self.space.low.tolist(), self.space.high.tolist()]

        def solve(losses: Losses, start: np.ndarray) -> None:
            def population(thetas: list[np.ndarray]) -> list[float]:
                return losses(np.stack(thetas)).tolist()

            cma.fmin2(None, start, 0.2, options, restarts=9, parallel_objective=population)

        return solve


class NelderMead(CalledBack):
    """Nelder–Mead of SciPy, from random starts."""

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        bounds = np.stack([self.space.low.numpy(), self.space.high.numpy()], 1) if self.space.bounded else None

        def solve(losses: Losses, start: np.ndarray) -> None:
            minimize(lambda theta: float(losses(theta[None].copy())[0]), start, method="Nelder-Mead", bounds=bounds)

        return solve


@dataclass(frozen=True)
class Peer:
    """A method of the comparison. most: the largest n on which it runs, and why."""

    make: Callable[[], Method]
    most: int | None = None
    why: str = ""


#: Methods that are told losses.
TOLD: dict[str, Peer] = {
    "zerograds": Peer(ZeroGrads),
    "cmaes": Peer(CMAES),
    "cmaes-0.033": Peer(lambda: CMAES(0.033)),
    "cmaes-0.3": Peer(lambda: CMAES(0.3)),
    "snes": Peer(SNES),
    "snes-0.033": Peer(lambda: SNES(0.033)),
    "snes-0.3": Peer(lambda: SNES(0.3)),
    "pycma": Peer(PyCMA),
    "pgpe": Peer(PGPE),
    "es": Peer(ES),
    "bfgs": Peer(BFGS),
    "nelder_mead": Peer(NelderMead),
    "ngopt": Peer(Nevergrad, 200, "its own time exceeds that of the renders"),
    "bobyqa": Peer(BOBYQA, 200, "its own time, 7 ms a render at n = 200, grows with n²"),
}
#: Methods that see pictures.
SEEING: dict[str, Peer] = {
    "zerograds-image": Peer(ImageZeroGrads),
    "dfols": Peer(lambda: make_method("dfols")[0], 40, "its own time, 9 ms a render at n = 48, grows with n²"),
    "fr22_image": Peer(FR22Image),
    "pixel_gradient": Peer(PixelGradient),
}
PEERS = TOLD | SEEING
#: {bound: its methods}: the best of them for each problem, in hindsight. The middle one is the default, σ = 0.1.
HINDSIGHT: dict[str, tuple[str, ...]] = {
    "cmaes, best σ": ("cmaes-0.033", "cmaes", "cmaes-0.3"),
    "snes, best σ": ("snes-0.033", "snes", "snes-0.3"),
}


@dataclass(frozen=True)
class Field:
    """Methods that are ranked together. ours: the one that is judged. others: its peers at their defaults."""

    ours: str
    others: tuple[str, ...]


OURS = "zerograds"
Feedback = Literal["loss", "image"]
#: The field of each feedback; with pictures, the default that is told losses is one of the others.
FIELDS: dict[Feedback, Field] = {
    "loss": Field(OURS, tuple(name for name in TOLD if name != OURS and not name[-1].isdigit())),
    "image": Field("zerograds-image", (OURS, *(name for name in SEEING if name != "zerograds-image"))),
}


def make_peer(name: str) -> Method:
    """A method by its name here, by its registered name, or as YAML: `{name: zerograds, surrogate: dd_cmaes}`."""
    return PEERS[name].make() if name in PEERS else make_method(yaml.safe_load(name))[0]


def check_feedback(names: Iterable[str]) -> None:
    """Raise SettingError for a method that sees pictures."""
    for name in names:
        if make_peer(name).feedback != "loss":
            raise SettingError(f"methods must be told losses, got '{name}', which sees pictures (--feedback image)")


def field_of(names: Iterable[str]) -> Field:
    """The field of these methods: that of pictures if one of them sees pictures."""
    return FIELDS["image" if SEEING.keys() & set(names) else "loss"]


def refusal(name: str, n: int) -> str:
    """Why a method does not run with n parameters; empty if it does."""
    most = PEERS[name].most if name in PEERS else None
    return f"{name} runs up to n = {most}: {PEERS[name].why}" if most is not None and n > most else ""
