"""What things are called and in which order they stand: the paper's methods first, ours last, others by name."""

from collections.abc import Iterable

from baselines.compare.rows import Row

OURS_PUBLISHED, OURS = "zerograds-paper", "zerograds"
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
    "random_search": "Random search",
    "fr22_image": "FR22 on the image",
    OURS_PUBLISHED: "ZeroGrads, as published",
    OURS: "ZeroGrads, default",
    "no_smoothing": "published, no smoothing",
    "no_locality": "published, no locality",
    "no_memory": "published, no memory",
    "no_network": "published, quadratic surrogate (QP)",
    "no_smoothing_no_memory": "published, neither smoothing nor memory",
    "default_neural": "default, with the network instead",
    "default_linear": "default, linear surrogate only",
    "default_curved": "default, quadratic surrogate only",
    "no_network_no_memory": "neither network nor memory (ES)",
}
# The columns of the project page's pictures.
PAGE_METHODS = ("simulated_annealing", "genetic", "spsa", "cmaes", "fr22", OURS_PUBLISHED, OURS)
# Where FEW parameters end: the tables of low and of high dimension are parted here.
LOW_DIMENSION = 128


def name_of(method: str) -> str:
    """A method's name for readers; those of other packages go by their own."""
    return NAMES.get(method, method)


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the tables; those of other packages come before ours."""
    known = [name for name in NAMES if name not in (OURS_PUBLISHED, OURS)]
    ours = [OURS_PUBLISHED, OURS]
    found = set(methods)
    others = sorted(found - set(NAMES))
    baselines = known[: known.index("fr22_image") + 1]
    order = [*baselines, *others, *ours, *known[len(baselines) :]]
    return [name for name in order if name in found]


def why_missing(rows: Iterable[Row], limit: int = 160) -> str:
    """The reason of rows that all failed, on one line and not longer than a footnote."""
    reasons = list(dict.fromkeys(" ".join(str(row["error"]).split()) for row in rows if row["error"]))
    said = reasons[0] if reasons else "the loss of the start or of the result is not finite"
    return said if len(said) <= limit else said[: limit - 1] + "…"
