"""Variants of methods do what their YAML says, and what cannot run is refused with the reason."""

import pytest

from paper.plan import Variant, compose_run, read_variants
from tests.zg.zerograds.test_published import started, told
from zg.config.build import instantiate, parse
from zg.errors import SettingError

VARIANTS = read_variants("ablations") | read_variants("extra")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_method_with_its_settings(name):
    config, _ = compose_run("toy", VARIANTS[name], 0, {"max_renders": 10}, "paper")
    instantiate("model", parse(config)["model"])
    assert VARIANTS[name].put.items() <= config["model"]["init_args"].items()


def test_a_setting_is_multiplied_from_what_was_published_or_is_the_default():
    published, origin = compose_run("toy", VARIANTS["no_locality"], 0, {}, "paper")
    assert (published["model"]["init_args"]["sigma"], origin) == (3.3, "paper")
    default, _ = compose_run("toy", Variant("es", times={"sigma": 0.1}), 0, {}, "default")
    assert default["model"]["init_args"]["sigma"] == 0.005
    with pytest.raises(SettingError, match="population must be a number to be multiplied, got None"):
        compose_run("toy", Variant("cmaes", times={"population": 2}), 0, {}, "default")


def test_a_full_covariance_is_refused_where_it_does_not_fit():
    full = VARIANTS["cmaes-full"]
    assert full.refusal(12_288, 8) == ""
    assert full.refusal(196_608, 8) == "cannot run: 3 matrices of 196,608 × 196,608 need 928 GB of 8"
    assert VARIANTS["default_curved"].refusal(5000, 8).startswith("cannot run: its n × n matrix")


@pytest.mark.parametrize(("memory", "steps"), [(True, 6), (False, 3)])
def test_without_memory_the_surrogate_starts_again_in_every_iteration(memory, steps):
    method = started(memory=memory, k_phi=3)
    told(method)
    told(method)
    assert {int(state["step"]) for state in method.surrogate.optimizer.state.values()} == {steps}
