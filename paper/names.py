"""The names of methods in tables and figures, and their order: the paper's methods first, other methods, then ours."""

from collections.abc import Iterable

from baselines.compare.rows import Row

# The two forms of ZeroGrads: the published algorithm and the default.
OURS_PUBLISHED, OURS = "zerograds-paper", "zerograds"
# {method or variant: its name for readers}, in the order of the tables.
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
    OURS_PUBLISHED: "ZeroGrads, as published",
    OURS: "ZeroGrads, default",
    "no_smoothing": "published, no smoothing",
    "no_locality": "published, no locality",
    "no_memory": "published, no memory",
    "no_network": "published, quadratic surrogate (QP)",
    "no_smoothing_no_memory": "published, neither smoothing nor memory",
    "default_neural": "default, with the neural surrogate only",
    "default_linear": "default, with the sketched gradient (SEGA) only",
    "default_curved": "default, with the quasi-Newton surrogate only",
    "no_network_no_memory": "neither network nor memory (ES)",
}
# The columns of the project page's pictures.
PAGE_METHODS = ("simulated_annealing", "genetic", "spsa", "cmaes", "fr22", OURS_PUBLISHED, OURS)
# The largest n of a task of low dimension. Tasks of low and of high dimension have tables of their own.
LOW_DIMENSION = 128


def name_of(method: str) -> str:
    """A method's name for readers. Methods of other packages keep their own names."""
    return NAMES.get(method, method)


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the tables. Methods of other packages come before ours."""
    known = [name for name in NAMES if name not in (OURS_PUBLISHED, OURS)]
    ours = [OURS_PUBLISHED, OURS]
    found = set(methods)
    others = sorted(found - set(NAMES))
    baselines = known[: known.index("fr22_image") + 1]
    order = [*baselines, *others, *ours, *known[len(baselines) :]]
    return [name for name in order if name in found]


def why_missing(rows: Iterable[Row], limit: int = 160) -> str:
    """The reason why all of these rows failed, on one line of at most `limit` characters."""
    reasons = list(dict.fromkeys(" ".join(str(row["error"]).split()) for row in rows if row["error"]))
    said = reasons[0] if reasons else "the loss of the start or of the result is not finite"
    return said if len(said) <= limit else said[: limit - 1] + "…"
