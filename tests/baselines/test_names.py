"""`nevergrad:TwoPointsDE` as the name of a method, and every method from a config."""

import pytest

from tests.baselines.test_methods import registered
from zg.cli.fit import fit
from zg.config import compose as config
from zg.config import registry
from zg.config.build import instantiate, parse
from zg.errors import SettingError

SPHERE = {"data": {"class_path": "tests.problems.Sphere"}}


@pytest.fixture(autouse=True)
def _as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of setup.cfg, whether or not they are installed."""
    paths = {name: path.replace(":", ".") for name, path in registered().items()}
    for module in (registry, config):
        monkeypatch.setattr(module, "registered", lambda kind: paths if kind == "method" else {})


@pytest.mark.parametrize(
    "model",
    [
        "nevergrad:TwoPointsDE",
        {"name": "nevergrad:TwoPointsDE"},
        {"name": "nevergrad", "optimizer": "TwoPointsDE"},
        {"class_path": "baselines.nevergrad.Nevergrad", "init_args": {"optimizer": "TwoPointsDE"}},
    ],
)
def test_a_suffix_names_the_optimizer(model: object) -> None:
    composed = config.compose({"model": model})["model"]
    assert composed == {"class_path": "baselines.nevergrad.Nevergrad", "init_args": {"optimizer": "TwoPointsDE"}}


def test_a_setting_beside_the_suffix_stays() -> None:
    composed = config.compose(config.method_config("nevergrad:PSO"), {"model": {"num_workers": 5}})["model"]
    assert composed["init_args"] == {"optimizer": "PSO", "num_workers": 5}


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(SettingError, match=r"model.optimizer 'TwoPointDE' is unknown; did you mean 'TwoPointsDE'"):
        fit(config.compose(SPHERE, {"model": "nevergrad:TwoPointDE"}), None)


def test_a_suffix_is_refused_for_a_method_that_takes_none() -> None:
    with pytest.raises(SettingError, match=r"model.optimizer is unknown"):
        parse(config.compose(SPHERE, {"model": "es:fast"}))


@pytest.mark.parametrize("name", registered())
def test_every_method_is_made_from_its_name(name: str) -> None:
    parsed = parse(config.compose(SPHERE, {"model": name}))
    module, _, attribute = registered()[name].partition(":")
    made = instantiate("model", parsed["model"])
    assert (type(made).__module__, type(made).__name__) == (module, attribute)
