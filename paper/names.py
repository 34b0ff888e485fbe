"""The names of methods and of their variants in tables and figures, and their order: variants stand last."""

from collections.abc import Iterable

from baselines.compare import names
from baselines.compare.names import OURS, OURS_PUBLISHED
from baselines.compare.rows import Row

# {variant of an ablation: its name for readers}, in the order of the tables.
VARIANTS = {
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
    """The name of a method or variant for readers. Methods of other packages keep their own names."""
    return VARIANTS.get(method) or names.name_of(method)


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the tables, then variants."""
    found = set(methods)
    return [*names.ordered(found - set(VARIANTS)), *(name for name in VARIANTS if name in found)]


def why_missing(rows: Iterable[Row], limit: int = 160) -> str:
    """The reason why all of these rows failed, on one line of at most `limit` characters."""
    reasons = list(dict.fromkeys(" ".join(str(row["error"]).split()) for row in rows if row["error"]))
    said = reasons[0] if reasons else "the loss of the start or of the result is not finite"
    return said if len(said) <= limit else said[: limit - 1] + "…"
