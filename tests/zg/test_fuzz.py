"""Whatever is set on the command line, in a YAML or in a call: it runs, or one line names what is wrong.

Settings and values are drawn by Hypothesis: 200 cases in `make test`, always the same ones, and 2,000 others in
`make test-slow`. An exception that is no SettingError, or an exit code of 1, is a fault of ours.
"""

import contextlib
import io
import math
import re
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zg
from zg.cli.main import main

#: Settings of a run, of its task and of its method, as they stand in a YAML.
TOP = (
    "seed max_renders max_seconds target_loss patience max_failed checkpoint_renders checkpoint_seconds curve_points"
    " video wandb group data model data.init_args data.name data.n data.class_path model.name model.class_path"
    " model.init_args model.sigma model.lr model.surrogate model.options model.population trainer trainer.precision"
    " trainer.accelerator trainer.devices trainer.max_epochs trainer.callbacks trainer.logger about nonsense data.x.y"
).split()
#: Arguments of `zg.optimize`.
CALL = (
    "init reference target loss regulariser space bounds integer x0 args kwargs batched linear method max_renders"
    " max_seconds target_loss patience max_failed seed workers curve_points resume progress"
).split()
TEXTS = st.sampled_from(
    [
        "",
        "abc",
        "toy",
        "es",
        "none",
        "null",
        "-",
        "...",
        "..",
        "a/b",
        "a" * 300,
        "x y",
        "é",
        "1e-1",
        "0x10",
        "1_0",
        "{",
        "\\",
    ]
)
NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([10**23, -(10**23), 2**63, math.nan, math.inf, -math.inf, 1e300, 1e-300, 0.0, -0.5, 0.5, 1.0]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
OBJECTS = st.one_of(
    VALUES,
    st.sampled_from([np.int64(3), np.float32(0.5), torch.tensor(2.0), torch.zeros(2), np.zeros((2, 2))]),
)
numbers = count()


def cases(door: str, drawn: dict[str, Any]) -> Any:
    """A test with 200 · share fixed cases, and one with ten times as many others that is slow."""
    share = {"cli": 80, "yaml": 60, "call": 60}[door]
    common = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

    def decorate(check: Any) -> tuple[Any, Any]:
        few = settings(max_examples=share, derandomize=True, **common)(given(**drawn)(check))
        many = pytest.mark.slow(settings(max_examples=10 * share, **common)(given(**drawn)(check)))
        return few, many

    return decorate


def base(folder: Path) -> dict[str, Any]:
    """A run of a moment."""
    return {"data": "toy", "model": "random_search", "max_renders": 8, "curve_points": 0, "video": False}


def said_by(words: list[str]) -> tuple[int, str]:
    """Exit code and what a command has written to standard error."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


def check_refusal(code: int, said: str, keys: list[str], values: list[Any]) -> None:
    """Exit code 0, or 2 and one line that names a part of a setting, or a value."""
    assert code in (0, 2), f"{keys} = {values}: exit code {code}, {said}"
    if code == 0:
        return
    assert said.startswith("zg: ") and said.count("\n") == 1, f"{keys} = {values} is refused in other words: {said}"
    names = {part for key in keys for part in (key, *key.split("."))} | {repr(value) for value in values}
    names |= {str(value) for value in values} | {"class_path", "name"}
    assert any(name and name in said for name in names), f"{keys} = {values} is not named: {said}"


def check_words(key: str, value: Any, name: str) -> None:
    folder = Path(f"{name}{next(numbers)}").absolute()
    layers = base(folder)
    words = [f"--{place.replace('_', '-')}={str(what).lower()}" for place, what in layers.items() if place != key]
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n")
    words += [f"--{key.replace('_', '-')}={text.strip()}", f"--out={folder}"]
    check_refusal(*said_by(["fit", *words]), [key], [value, text.strip()])


def check_yaml(given_settings: dict[str, Any]) -> None:
    folder = Path(f"yaml{next(numbers)}").absolute()
    config: dict[str, Any] = base(folder)
    for key, value in given_settings.items():
        place, *inner = key.split(".")
        if not inner:
            config[place] = value
        else:
            within = config.get(place)
            within = within if isinstance(within, dict) else {"name": within} if isinstance(within, str) else {}
            config[place] = within | {inner[0]: value if len(inner) == 1 else {inner[1]: value}}
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    words = ["fit", f"--config={path}", f"--out={folder}"]
    check_refusal(*said_by(words), list(given_settings), list(given_settings.values()))


def number(*x: Any, **named: Any) -> float:
    """A loss of whatever the parameters are called."""
    return float(len(x) + len(named))


def check_call(given_arguments: dict[str, Any]) -> None:
    arguments = {"init": [0.2, 0.4], "max_renders": 8, "method": "random_search"} | given_arguments
    wanted = arguments.pop("init")
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            zg.optimize(number, wanted, **arguments)
    except zg.SettingError as error:
        said = str(error)
        assert "\n" not in said, f"{given_arguments}: {said}"
        names = {*given_arguments, "init", "space", "render", "method", "folder"}
        assert any(re.search(rf"\b{name}\b", said) for name in names) or any(
            str(value) and str(value) in said for value in given_arguments.values()
        ), f"{given_arguments} is not named: {said}"


few_words, many_words = cases("cli", {"key": st.sampled_from(TOP), "value": VALUES, "name": st.just("words")})(
    check_words
)
few_yamls, many_yamls = cases(
    "yaml", {"given_settings": st.dictionaries(st.sampled_from(TOP), VALUES, min_size=1, max_size=3)}
)(check_yaml)
few_calls, many_calls = cases(
    "call", {"given_arguments": st.dictionaries(st.sampled_from(CALL), OBJECTS, min_size=1, max_size=3)}
)(check_call)

test_any_word_of_the_command_line_is_taken_or_refused_in_a_line = few_words
test_any_word_of_the_command_line_is_taken_or_refused_in_a_line_many_times = many_words
test_any_yaml_is_taken_or_refused_in_a_line = few_yamls
test_any_yaml_is_taken_or_refused_in_a_line_many_times = many_yamls
test_any_argument_of_a_call_is_taken_or_refused_in_a_line = few_calls
test_any_argument_of_a_call_is_taken_or_refused_in_a_line_many_times = many_calls
