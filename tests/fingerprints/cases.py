"""Which method on which problem, and how a run of it becomes a fingerprint."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import zg
from tests.fingerprints.problems import Cut, Failing, Mixed, Plateau, Steps, Switches
from tests.methods import CASES as METHODS
from tests.methods import NEED_A_REFERENCE, find
from tests.problems import (
    Cornered,
    HighSphere,
    Kinks,
    Layers,
    Noisy,
    NoisySphere,
    Quadratic,
    Rastrigin,
    Rotated,
    Sphere,
    Stripes,
    Turned,
)
from zg.budget import Budget
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.space import Block
from zg.task import Task

# 203 cuts a batch of every size from 2 on, 7 and 29 apart.
CUT = 203


@dataclass(frozen=True)
class Case:
    """A method on a task for `renders` renders."""

    method: str
    settings: dict[str, Any]
    task: Callable[[], Task]
    renders: int = CUT
    seed: int = 0

    def make(self) -> Method:
        """The method, fresh."""
        return find(self.method)(**self.settings)


def default(task: Callable[[], Task], renders: int = CUT, seed: int = 0, **settings: Any) -> Case:
    return Case("zerograds", settings, task, renders, seed)


def alone(surrogate: str, task: Callable[[], Task], renders: int = CUT) -> Case:
    return default(task, renders, surrogate=surrogate)


EVERY_METHOD = {
    f"{name}, {label}": Case(method, settings, task, renders)
    for name, (method, settings) in METHODS.items()
    for label, task, renders in (
        ("bounds, counts, switches", Sphere, CUT),
        ("failed renders", lambda: Sphere(fail="nan"), CUT),
        ("noise", Noisy, 61),
    )
    if not (task is Noisy and method in NEED_A_REFERENCE)
}
FEW: dict[str, Callable[[], Task]] = {
    "smooth": lambda: Quadratic(6, 100.0),
    "noise": lambda: Turned(6, noise=0.01),
    "noise that grows with the loss": lambda: Turned(6, loud=0.3),
    "bounds": lambda: Cornered(8, condition=100.0),
    "counts": lambda: Mixed(9),
    "failed renders": lambda: Failing(6, 10.0),
    "kinks": lambda: Kinks(5),
    "steps": lambda: Steps(5),
    "plateau": Plateau,
    "one parameter": lambda: Quadratic(1),
}
FOR_FEW = (
    "quasi_newton",
    "bayesian_quadratic",
    "dd_cmaes",
    "assisted_cmaes",
    "two_searches",
    "neural",
    "sketched_gradient",
)
MANY: dict[str, tuple[Callable[[], Task], int]] = {
    "smooth": (lambda: HighSphere(300), 1503),
    "condition 1,000": (lambda: Rotated(140, condition=1e3), 1003),
    "noise": (lambda: NoisySphere(), 1503),
    "noise that grows with the loss": (lambda: Turned(150, loud=0.3), 1503),
    "bounds": (lambda: Cornered(150), 1003),
    "counts": (lambda: Mixed(150), 1003),
    "failed renders": (lambda: Failing(150, 10.0), 1003),
    "failed renders, counts": (lambda: Mixed(150, fail="nan"), 1003),
    "four blocks": (Layers, 2003),
    "steps": (lambda: Steps(150), 1503),
    "single precision": (lambda: HighSphere(5000), 1003),
}
SURROGATES = (
    {f"{name} alone, {label}": alone(name, task, 403) for name in FOR_FEW for label, task in FEW.items()}
    | {
        f"sketched_gradient alone, many, {label}": alone("sketched_gradient", task, renders)
        for label, (task, renders) in MANY.items()
    }
    | {
        "coordinate_search alone, few": alone("coordinate_search", lambda: Switches(12)),
        "coordinate_search alone, many": alone("coordinate_search", lambda: Switches(150), 803),
        "coordinate_search alone, noise": alone("coordinate_search", lambda: Switches(40, noise=0.01), 403),
        "coordinate_search alone, failed renders": alone("coordinate_search", lambda: Switches(40, fail="nan"), 403),
        "bayesian_quadratic alone, options": default(
            FEW["noise"], surrogate="bayesian_quadratic", options={"pairs": 7, "window": 60}
        ),
        "dd_cmaes alone, options": default(FEW["smooth"], surrogate="dd_cmaes", options={"population": 11}),
        "neural alone, options": default(
            FEW["smooth"],
            surrogate="neural",
            options={"pairs": 3, "window": 30, "k_phi": 5, "k_theta": 7, "lr": 1e-3, "hidden": 16, "layers": 3},
        ),
    }
)
# From one surrogate to the next: long enough that the next one has been at work for some hundred renders.
HANDING_OVER = (
    {f"default, {label}": default(task, 603) for label, task in FEW.items()}
    | {f"default, many, {label}": default(task, renders) for label, (task, renders) in MANY.items()}
    | {
        "default, converged, then farther": default(lambda: Quadratic(4, 10.0), 1503),
        "default, kinks in ten": default(lambda: Kinks(10), 2003),
        "default, Rosenbrock's kind": default(lambda: Rotated(12, condition=1e6), 1503),
        "default, noisy counts": default(lambda: Switches(14, noise=0.01), 603),
        "default, failing counts": default(lambda: Mixed(9, fail="nan"), 603),
        "default, raising counts": default(lambda: Sphere(fail="raise"), 603),
        "default, many switches": default(lambda: Switches(150), 803),
        "default, from the many to curvature": default(lambda: Rotated(130, condition=1e3), 2903),
        "default, noise keeps the many from curvature": default(lambda: Turned(130, loud=0.1), 2603),
        "default, σ ten times too small": default(FEW["smooth"], 403, sigma=0.005),
        "default, σ ten times too large": default(FEW["noise"], 403, sigma=0.5),
        "default, many, σ ten times too large": default(MANY["four blocks"][0], 1503, sigma=0.5),
        "default, another seed": default(MANY["smooth"][0], 803, seed=7),
    }
)
# Options of the published algorithm, and what happens only late or seldom.
REST = {
    f"zerograds-paper, {label}": Case("zerograds-paper", {"lr_theta": 0.02} | settings, FEW["smooth"], 103)
    for label, settings in {
        "quadratic": {"surrogate": "quadratic"},
        "quadratic without memory": {"surrogate": "quadratic", "memory": False},
        "without memory": {"memory": False},
        "without smoothing": {"inner_sigma": 0.0},
        "one-sided": {"antithetic": False},
        "encoded": {"frequencies": 3, "hidden": 16, "layers": 4, "input_scale": 4.0},
        "log space": {"log_space": True, "order": "phi_first", "k_theta": 3},
        "huber": {"criterion": "huber"},
    }.items()
} | {
    "zerograds-paper, encoded, many": Case(
        "zerograds-paper", {"lr_theta": 1e-3, "frequencies": 3, "batch": 4}, lambda: HighSphere(300), 103
    ),
    "dd_cmaes alone, restarts": alone("dd_cmaes", lambda: Rastrigin(2), 3003),
    "dd_cmaes alone, restarts under noise": alone("dd_cmaes", FEW["noise"], 3003),
    "dd_cmaes alone, at first all fail": alone("dd_cmaes", lambda: Cut(4), 403),
    "bayesian_quadratic alone, at first all fail": alone("bayesian_quadratic", lambda: Cut(4), 403),
    "sketched_gradient alone, led uphill by noise": alone("sketched_gradient", lambda: Turned(150, loud=0.3), 8003),
    "sketched_gradient alone, without progress": alone("sketched_gradient", lambda: Kinks(150), 4003),
    "cmaes, restarts": Case("cmaes", {"sigma": 0.5}, lambda: Rastrigin(2), 1503),
}
# Surrogates of the picture, and the hand-over from them.
PICTURES = {
    "zerograds-image, dense": Case("zerograds-image", {}, Stripes, 103),
    "zerograds-image, footprints": Case("zerograds-image", {}, lambda: HighSphere(300), 103),
    "zerograds-image, raising renders": Case("zerograds-image", {}, lambda: Sphere(fail="raise"), 203),
}
CASES: dict[str, Case] = EVERY_METHOD | SURROGATES | HANDING_OVER | REST | PICTURES


def fingerprint(case: Case) -> dict[str, Any]:
    """Hashes of what was asked, told, entered into the ledger and recommended; and numbers for other platforms."""
    asked, told, early = hashlib.sha256(), hashlib.sha256(), []
    loop = started(case)
    method, objective, ledger = loop.method, loop.objective, loop.ledger
    while not ledger.exhausted and not method.finished():
        theta = loop.ask()
        enter(asked, theta)
        evaluation = objective.evaluate(theta, loop.iteration, images=method.feedback == "image")
        enter(told, evaluation.losses)
        loop.tell(theta, evaluation)
        if loop.iteration <= 3:
            early.append([number(theta.double().mean()), number(evaluation.losses.nanmean())])
    last, entered = hashlib.sha256(), hashlib.sha256()
    recommended = method.recommend()
    enter(last, recommended)
    for predicted in (method.predict(recommended[None]), method.surrogate_gradient(recommended)):
        if predicted is not None:
            enter(last, predicted)
    for name in ("renders", "failed", "best_loss", "last_loss", "improved_at"):
        enter(entered, torch.tensor(float(getattr(ledger, name)), dtype=torch.float64))
    enter(entered, ledger.best_theta)
    return {
        "asked": asked.hexdigest()[:16],
        "told": told.hexdigest()[:16],
        "recommended": last.hexdigest()[:16],
        "ledger": entered.hexdigest()[:16],
        "early": early,
        "renders": ledger.renders,
        "best_loss": number(ledger.best_loss),
    }


def started(case: Case) -> Loop:
    """Everything built for a run."""
    task = case.task()
    task.seed = case.seed
    task.setup()
    loop = Loop(case.make(), Budget(case.renders), case.seed)
    loop.start(Objective(task, case.renders, case.seed))
    return loop


def enter(digest: Any, values: Tensor) -> None:
    """Add numbers to a hash; every NaN is the same."""
    values = values.detach().double().cpu().contiguous()
    digest.update(str(tuple(values.shape)).encode() + torch.where(values.isnan(), math.nan, values).numpy().tobytes())


def number(value: Any) -> float | None:
    """A number as JSON has it."""
    return float(value) if math.isfinite(value) else None


def call_fingerprint() -> dict[str, Any]:
    """Hashes of what `zg.optimize`, with its curve, and `zg.Optimizer`, told in pieces, return."""
    task = Layers()
    task.setup()
    optimizer, told = zg.Optimizer(task.space, seed=3, max_renders=400), hashlib.sha256()
    while optimizer.renders < 400:
        x = optimizer.ask(7)
        enter(told, x)
        optimizer.tell(task.render(x))
    enter(told, optimizer.recommend())
    stripes, result_hash = Stripes(), hashlib.sha256()
    stripes.setup()
    result = zg.optimize(
        lambda x: stripes.render(torch.from_numpy(x)[None])[0],
        [3.0, 2.0],
        space={"x": Block([3.0, 2.0], low=[0.0, 1.0], high=[15.0, 5.0])},
        target=[9.0, 3.0],
        regulariser=lambda x: 1e-4 * x.square().sum(1),
        max_renders=150,
        seed=5,
        feedback="loss",
    )
    enter(result_hash, result.theta)
    enter(result_hash, torch.tensor([result.loss, result.row["init_loss"], result.row["best_loss"]]))
    for record in result.records:
        enter(
            result_hash,
            torch.tensor([record.get(name, math.nan) for name in ("renders", "loss", "batch_loss", "psnr")]),
        )
    return {"optimizer": told.hexdigest()[:16], "optimize": result_hash.hexdigest()[:16]}
