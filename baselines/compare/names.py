"""The names of methods in tables and figures, and their order: the paper's methods first, then others, then ours."""

from collections.abc import Iterable

# The two forms of ZeroGrads: the published algorithm and the default.
OURS_PUBLISHED, OURS = "zerograds-paper", "zerograds"
# {method: its name for readers}, in the order of tables and legends.
NAMES = {
    "simulated_annealing": "Simulated annealing",
    "genetic": "Genetic algorithm",
    "spsa": "SPSA",
    "cmaes": "CMA-ES",
    "cmaes-full": "CMA-ES, full covariance",
    "fr22": "FR22",
    "finite_differences": "Finite differences",
    "es": "ES",
    "pgpe": "PGPE",
    "snes": "SNES",
    "nevergrad": "Nevergrad",
    "bfgs": "BFGS",
    "bobyqa": "BOBYQA",
    "random_search": "Random search",
    "fr22_image": "FR22 on the image",
    "dfols": "DFO-LS on the image",
    "pixel_gradient": "Per-pixel gradient",
    "zerograds-image": "ZeroGrads on the image",
    OURS_PUBLISHED: "ZeroGrads, as published",
    OURS: "ZeroGrads, default",
}


def name_of(method: str) -> str:
    """A method's name for readers. Methods of other packages keep their own names."""
    return NAMES.get(method, method)


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the tables. Methods of other packages come before ours."""
    found = set(methods)
    order = [name for name in NAMES if name not in (OURS_PUBLISHED, OURS)]
    order += [*sorted(found - set(NAMES)), OURS_PUBLISHED, OURS]
    return [name for name in order if name in found]
