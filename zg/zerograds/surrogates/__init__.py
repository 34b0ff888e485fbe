"""Surrogates of the loss, one file each. `SURROGATES` is all that has to know a new one by name."""

from zg.zerograds.surrogates.assisted_cmaes import AssistedCMAES
from zg.zerograds.surrogates.base import Surrogate
from zg.zerograds.surrogates.bayesian_quadratic import BayesianQuadratic
from zg.zerograds.surrogates.coordinate_search import CoordinateSearch
from zg.zerograds.surrogates.dd_cmaes import DDCMAES
from zg.zerograds.surrogates.neural import Neural
from zg.zerograds.surrogates.quasi_newton import QuasiNewton
from zg.zerograds.surrogates.sketched_gradient import SketchedGradient
from zg.zerograds.surrogates.two_searches import TwoSearches

SURROGATES: dict[str, type[Surrogate]] = {
    "quasi_newton": QuasiNewton,
    "bayesian_quadratic": BayesianQuadratic,
    "dd_cmaes": DDCMAES,
    "assisted_cmaes": AssistedCMAES,
    "two_searches": TwoSearches,
    "neural": Neural,
    "sketched_gradient": SketchedGradient,
    "coordinate_search": CoordinateSearch,
}
#: Names of earlier versions.
RENAMED = {
    "curved": "quasi_newton",
    "ridge": "bayesian_quadratic",
    "ranked": "dd_cmaes",
    "linear": "sketched_gradient",
    "switched": "coordinate_search",
}
