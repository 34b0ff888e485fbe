"""Composed configs become checked settings, tasks and methods. Every error has one line."""

from typing import Any

import pytest

from baselines.es import ES
from tests.problems import Quadratic
from zg.config.build import check_keys, instantiate, one_line, parse, parse_component, resolved
from zg.errors import SettingError
from zg.zerograds.method import ZeroGrads
from zg.zerograds.published import PaperZeroGrads


def path(made: type) -> str:
    return f"{made.__module__}.{made.__qualname__}"


def component(made: type, **settings: Any) -> dict[str, Any]:
    return {"class_path": path(made), "init_args": settings}


def config(**settings: Any) -> dict[str, Any]:
    return {"data": component(Quadratic), "model": component(ES)} | settings


class Breaking(Quadratic):
    """A task that refuses its setting."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        raise SettingError(f"size must be even, got {size}")


def test_task_and_method_are_made_with_their_settings():
    parsed = parse(config(data=component(Quadratic, n=3, condition=10), model=component(ES, lr=1)))
    task, method = (instantiate(key, parsed[key]) for key in ("data", "model"))
    assert isinstance(task, Quadratic) and (task.n, task.condition) == (3, 10.0)
    assert isinstance(method, ES) and method.lr == 1


def test_values_are_converted_to_their_types():
    parsed = parse(config(max_renders="12", target_loss="1e-3", checkpoint_seconds=5, patience=None, video=False))
    budget = {key: value for key, value in parsed.items() if key not in ("data", "model")}
    expected = {"max_renders": 12, "target_loss": 1e-3, "checkpoint_seconds": 5.0, "patience": None, "video": False}
    assert budget == expected
    assert type(parsed["checkpoint_seconds"]) is float


def test_settings_that_are_not_given_are_absent():
    assert set(parse(config())) == {"data", "model"}


def test_a_setting_that_is_a_dictionary_is_not_changed():
    model = component(ZeroGrads, surrogate="neural", options={"pairs": 3})
    assert instantiate("model", parse(config(model=model))["model"]).options == {"pairs": 3}


def test_trainer_settings_are_only_those_that_were_given():
    assert parse(config(trainer={"gradient_clip_val": 0.5}))["trainer"] == {"gradient_clip_val": 0.5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_render": 3}, "max_render is unknown; did you mean 'max_renders'?"),
        ({"max_renders": "many"}, "max_renders must be int, got many"),
        ({"seed": 1.5}, "seed must be int, got 1.5"),
        ({"video": "perhaps"}, "video must be bool, got perhaps"),
        ({"checkpoint_renders": "x"}, "checkpoint_renders must be int or null, got x"),
        ({"trainer": 3}, "trainer must be settings of Lightning's Trainer, got 3"),
        ({"data": component(Quadratic, n="three")}, "data.n must be int, got three"),
        ({"data": component(Quadratic, conditions=3)}, "data.conditions is unknown; did you mean 'condition'?"),
        ({"data": component(ES)}, "data must be a subclass of Task, got 'baselines.es.ES'"),
        ({"model": component(Quadratic)}, "model must be a subclass of Method, got 'tests.problems.Quadratic'"),
        (
            {"model": component(PaperZeroGrads, surrogate="cubic")},
            "model.surrogate must be one of 'neural', 'quadratic', got cubic",
        ),
    ],
)
def test_a_wrong_setting_raises_a_setting_error_of_one_line(settings, message):
    with pytest.raises(SettingError) as refused:
        parse(config(**settings))
    assert str(refused.value) == message


def test_an_unknown_trainer_setting_raises_a_setting_error_of_one_line():
    with pytest.raises(SettingError, match=r"^trainer\.max_epoch is unknown; did you mean 'max_epochs'\?$") as refused:
        parse(config(trainer={"max_epoch": 3}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("class_path", "why"),
    [
        ("tests.problems.Nothing", "module 'tests.problems' has no attribute 'Nothing'"),
        ("tests.nowhere.Nothing", "ModuleNotFoundError: No module named 'tests.nowhere'"),
        ("mine.Broken", "ZeroDivisionError: division by zero"),
    ],
    ids=["no such class", "no such module", "a module that raises"],
)
def test_a_class_that_cannot_be_imported_is_reported_with_the_reason(class_path, why, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=f"data must be a class that can be imported, got '{class_path}'.*{why}"):
        check_keys("data", {"class_path": class_path, "init_args": {}})


def test_the_base_class_task_is_refused():
    with pytest.raises(SettingError, match=r"data must be a subclass of Task, got 'zg\.task\.Task'"):
        check_keys("data", {"class_path": "zg.task.Task", "init_args": {}})


@pytest.mark.parametrize(
    ("key", "wrong", "message"),
    [
        ("data", component(Breaking, size=5), "data.size must be even, got 5"),
        ("model", component(ES, sigma=-1.0), "model.sigma must be > 0, got -1.0"),
    ],
)
def test_an_error_of_a_task_or_method_names_the_setting_of_the_config(key, wrong, message):
    with pytest.raises(SettingError) as refused:
        instantiate(key, parse_component(key, wrong))
    assert str(refused.value) == message


def test_a_resolved_config_has_all_settings_and_parses_to_itself():
    composed = config(model=component(ES, lr=0.02), max_renders=10)
    full = resolved(composed, parse(composed))
    assert full["model"] == component(ES, sigma=0.05, lr=0.02, pairs=10)
    assert full["data"] == component(Quadratic, n=4, condition=1.0)
    assert full["max_renders"] == 10
    assert resolved(full, parse(full)) == full


def test_an_error_message_of_unknown_form_is_joined_to_one_line():
    assert one_line("something\n  went  wrong\n") == "something went wrong"
