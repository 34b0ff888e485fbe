"""Configs: reading, merging, and the forms of a task or method."""

from pathlib import Path

import pytest

from zg.config.compose import assign, class_name, compose, locate, method_config, read_yaml, task_config
from zg.config.registry import CONFIGS
from zg.errors import SettingError

ES = "baselines.es.ES"
CMAES = "baselines.cmaes.CMAES"


def written(text, name="mine.yaml"):
    """A config file with that text, in the working directory."""
    path = Path(name)
    path.write_text(text)
    return path


def test_read_yaml_returns_a_dictionary():
    text = "data: {name: texture, size: 64}\nmodel: es\nmax_renders: 20000\n"
    assert read_yaml(written(text)) == {"data": {"name": "texture", "size": 64}, "model": "es", "max_renders": 20000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\ndata: [", "config 'mine.yaml' must be valid YAML, got an error at line 2"),
        ("- toy\n- es\n", "config 'mine.yaml' must have 'key: value' lines, got list"),
        ("", "config 'mine.yaml' must have 'key: value' lines, got NoneType"),
        ("1: toy\n", "config 'mine.yaml' must have strings as keys, got 1"),
        (b"\xff\xfe\x00", "config 'mine.yaml' cannot be read: 'utf-8' codec can't decode"),
        (None, "config 'mine.yaml' cannot be read: No such file or directory"),
    ],
    ids=["no YAML", "a list", "empty", "a number for a key", "no text", "missing"],
)
def test_a_file_that_is_no_config_raises_a_setting_error_of_one_line(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingError) as refused:
        read_yaml(path.relative_to(tmp_path))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("written_as", "value"), [("1e-1", 0.1), ("1.0e+2", 100), ("1e2", 100), ("5E-1", 0.5)])
def test_a_number_in_scientific_notation_is_a_number_wherever_it_stands(written_as, value):
    space = f"{{c: {{init: [{written_as}, 1], low: {written_as}}}}}"
    text = f"data: {{name: external, space: {space}}}\nmax_renders: {written_as}\n"
    config = read_yaml(written(text))
    assert config["data"]["space"]["c"] == {"init": [value, 1], "low": value}
    assert config["max_renders"] == value


def test_a_config_is_searched_in_the_working_directory_and_then_in_the_repository(tmp_path):
    assert locate("configs/toy.yaml") == CONFIGS / "toy.yaml"
    (tmp_path / "configs").mkdir()
    here = written("seed: 1\n", "configs/toy.yaml")
    assert locate("configs/toy.yaml") == here
    assert str(locate("nowhere.yaml")) == "nowhere.yaml"


@pytest.mark.parametrize(
    "model",
    [
        {"name": "es", "lr": 0.01},
        {"name": "es", "init_args": {"lr": 0.01}},
        {"class_path": ES, "lr": 0.01},
        {"class_path": ES, "init_args": {"lr": 0.01}},
    ],
    ids=["name", "name and init_args", "class_path", "class_path and init_args"],
)
def test_all_forms_of_a_method_compose_to_the_same_config(model):
    assert compose({"model": model}) == {"model": {"class_path": ES, "init_args": {"lr": 0.01}}}


def test_a_name_composes_to_a_class_path_without_settings():
    composed = compose({"data": "toy", "model": "es"})
    assert composed["data"] == {"class_path": "tasks.toy.Toy", "init_args": {}}
    assert composed["model"] == {"class_path": ES, "init_args": {}}


def test_a_name_after_a_colon_is_the_setting_optimizer():
    assert compose({"model": "nevergrad:PSO"})["model"]["init_args"] == {"optimizer": "PSO"}


def test_later_configs_override_single_settings():
    first = {"data": "toy", "model": {"name": "es", "lr": 0.01, "pairs": 5}, "max_renders": 100, "seed": 1}
    composed = compose(first, {"model": {"lr": 0.02}, "max_renders": 200})
    assert composed["model"] == {"class_path": ES, "init_args": {"lr": 0.02, "pairs": 5}}
    assert composed["data"]["class_path"] == "tasks.toy.Toy"
    assert (composed["max_renders"], composed["seed"]) == (200, 1)


def test_nested_settings_are_merged():
    first = {"model": {"name": "zerograds", "surrogate": "neural", "options": {"pairs": 3, "lr": 0.01}}}
    composed = compose(first, {"model": {"options": {"lr": 0.02}}})
    assert composed["model"]["init_args"]["options"] == {"pairs": 3, "lr": 0.02}


def test_choosing_the_same_method_again_keeps_its_settings():
    composed = compose({"model": {"name": "es", "lr": 0.01}}, {"model": ES})
    assert composed["model"]["init_args"] == {"lr": 0.01}


def test_choosing_another_method_drops_the_settings_of_the_former_one():
    composed = compose({"model": {"name": "es", "lr": 0.01}}, {"model": {"name": "cmaes", "sigma": 0.2}})
    assert composed["model"] == {"class_path": CMAES, "init_args": {"sigma": 0.2}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "ess"}, "method 'ess' is unknown; did you mean 'es'?"),
        ({"data": "textur"}, "task 'textur' is unknown; did you mean 'texture'?"),
        ({"data": "texture32"}, "task 'texture32' is a config: --config configs/texture32.yaml"),
        ({"model": 3}, "model must be the name of a method or its settings, got 3"),
        ({"data": None}, "data must be the name of a task or its settings, got None"),
        ({"model": {"name": 3}}, "model must be the name of a method, got 3"),
        ({"data": {"name": "toy", "init_args": [1]}}, "data.init_args must be 'key: value' lines, got [1]"),
    ],
)
def test_a_value_that_names_no_task_or_method_raises_a_setting_error(config, message):
    with pytest.raises(SettingError) as refused:
        compose(config)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("setting", "text", "config"),
    [
        ("max-renders", "100", {"max_renders": 100}),
        ("model.sigma", "0.1", {"model": {"sigma": 0.1}}),
        ("model.lr", "1e-3", {"model": {"lr": 0.001}}),
        ("model.options.hidden", "8", {"model": {"options": {"hidden": 8}}}),
        ("data", "{name: toy, n: 3}", {"data": {"name": "toy", "n": 3}}),
        ("video", "false", {"video": False}),
        ("patience", "null", {"patience": None}),
        ("data.layers", "[3, 16, 1]", {"data": {"layers": [3, 16, 1]}}),
        ("about", "a: b: c", {"about": "a: b: c"}),
    ],
)
def test_a_setting_of_the_command_line_becomes_a_config(setting, text, config):
    assert assign(setting, text) == config


def test_a_name_selects_its_yaml_file_or_its_registered_class():
    assert task_config("texture32") == read_yaml(CONFIGS / "texture32.yaml")
    assert task_config(str(written("data: toy\nseed: 3\n"))) == {"data": "toy", "seed": 3}
    assert method_config("es") == read_yaml(CONFIGS / "methods" / "es.yaml")
    assert method_config("nevergrad:PSO") == {"model": "nevergrad:PSO"}


def test_an_unknown_name_or_file_raises_a_setting_error():
    with pytest.raises(SettingError, match=r"'mine\.yaml' must be a readable YAML file, and there is no such file"):
        task_config("mine.yaml")
    with pytest.raises(SettingError, match="method 'ess' is unknown; did you mean 'es'"):
        method_config("ess")


def test_a_class_and_a_file_without_its_ending_are_answered_with_the_file_to_give(tmp_path, monkeypatch):
    """What `zg new task glow` writes is compared by its YAML."""
    monkeypatch.chdir(tmp_path)
    said = r"must be a name or a YAML file; for a class, such a file has the line data: \{class_path: glow\.Glow\}"
    with pytest.raises(SettingError, match=f"task 'glow.Glow' {said}$"):
        task_config("glow.Glow")
    (tmp_path / "glow.yaml").write_text("data: {class_path: glow.Glow}\n")
    with pytest.raises(SettingError, match=f"task 'glow.Glow' {said}, as glow.yaml here$"):
        task_config("glow.Glow")
    with pytest.raises(SettingError, match=r"'glow' is unknown; .* zg compare --tasks glow\.yaml"):
        task_config("glow")


def test_class_name_is_the_registered_name_or_the_class_path():
    assert class_name("method", compose({"model": "es"})["model"]) == "es"
    assert class_name("task", {"class_path": "my.Task"}) == "my.Task"


def test_composing_leaves_its_layers_as_they_were():
    layer = {"model": {"name": "zerograds", "options": {"pairs": 3}}}
    composed = compose(layer, {"model": {"options": {"pairs": 4}}})
    assert composed["model"]["init_args"]["options"] == {"pairs": 4}
    assert layer["model"]["options"] == {"pairs": 3}, "the first layer must not hold a value of the second"
