"""The parameter space: scaled units, bounds, discrete coordinates."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.external import make_block
from zg.block import CHECKED
from zg.errors import SettingError
from zg.space import Block, ParameterSpace


def mixed() -> ParameterSpace:
    return ParameterSpace(
        position=Block([0.5, -0.5], low=-1.0, high=1.0),
        roughness=Block(0.1, low=1e-3, high=1.0, log=True),
        count=Block(8, low=2, high=40, kind="integer"),
        lamp=Block([1.0, 0.0, 1.0], kind="binary"),
        free=Block(3.0, scale=10.0),
    )


def test_blocks_are_concatenated_in_their_order():
    space = mixed()
    assert space.n == 8
    named = space.split(torch.arange(16.0).reshape(2, 8))
    assert named["position"].shape == (2, 2)
    assert named["free"].tolist() == [7.0, 15.0]
    assert torch.equal(space.join(named), torch.arange(16.0).reshape(2, 8))


def test_numbers_of_python_keep_their_double_precision():
    """0.3 in single precision is beyond 0.3: a renderer would get x outside of the bounds that were given."""
    space = ParameterSpace(a=Block(0.2, low=0.1, high=0.3), b=Block([0.2, 0.7], low=0.1, high=[0.3, 0.9], scale=0.1))
    assert space.low_user.tolist() == [0.1] * 3 and space.high_user.tolist() == [0.3, 0.3, 0.9]
    beyond = space.to_user(torch.full((3,), 99.0, dtype=torch.float64))
    assert beyond.tolist() == [0.3, 0.3, 0.9]
    assert space.to_user(space.init).tolist() == pytest.approx([0.2, 0.2, 0.7], rel=1e-15)


def test_the_default_scale_is_the_width_of_the_bounds():
    space = mixed()
    assert space.scale.tolist() == pytest.approx([2, 2, math.log(1e3), 38, 1, 1, 1, 10])
    assert space.to_user(space.init).tolist() == pytest.approx([0.5, -0.5, 0.1, 8, 1, 0, 1, 3])


@given(st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=8))
def test_user_values_are_clipped_to_the_bounds_and_rounded_if_discrete(values):
    space = mixed()
    x = space.to_user(torch.tensor(values, dtype=torch.float64))
    assert (x >= space.low_user).all()
    assert (x <= space.high_user).all()
    assert torch.equal(x[space.discrete], x[space.discrete].round())


@given(st.lists(st.floats(0.01, 0.99), min_size=8, max_size=8))
def test_to_user_and_to_scaled_are_inverse_inside_the_bounds(values):
    space = ParameterSpace(a=Block([0.5] * 7, low=0.0, high=1.0, scale=3.0), b=Block(0.5, low=0.001, high=1, log=True))
    x = torch.tensor(values, dtype=torch.float64)
    assert torch.allclose(space.to_user(space.to_scaled(x)), x)


def test_rounded_integers_stay_inside_non_integer_bounds():
    space = ParameterSpace(count=Block(1, low=0.6, high=1.5 + 1, kind="integer"))
    assert space.to_user(torch.tensor([[-9.0], [9.0]], dtype=torch.float64)).tolist() == [[1], [2]]


def test_project_clips_to_the_bounds():
    space = mixed()
    far = torch.full((8,), 1e9, dtype=torch.float64)
    assert torch.equal(space.to_user(space.project(far))[:-1], space.high_user[:-1])
    assert space.project(far)[-1] == 1e9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": 0.0, "low": 1.0, "high": 1.0}, "low must be below high = 1, got 1"),
        ({"init": math.nan}, "init must be finite"),
        ({"init": 2.0, "low": 0.0, "high": 1.0}, r"init must be inside its bounds \[0, 1\], got 2"),
        ({"init": -1.0, "log": True}, "init must be > 0 where log is set"),
        ({"init": 1.0, "log": True, "low": -1.0}, "low must be ≥ 0 where log is set, got -1"),
        ({"init": 1.0, "scale": 0.0}, "scale must be > 0 and finite, got 0"),
        ({"init": [0.5, 0.5], "low": [0.0] * 3}, r"low must be one number, or of shape \[2\] as init is, got"),
        ({"init": [0.5, 3.0], "low": 0, "high": [1, 2]}, r"init must be inside its bounds \[0, 2\], got 0.5 … 3"),
        ({"init": "red"}, "init must be numbers, got 'red'"),
        ({"init": 0.5, "low": "zero"}, "low must be numbers, got 'zero'"),
        ({"init": 1j}, "init must be (real )?numbers, got "),
        ({"init": 4.5, "kind": "integer"}, "init must be whole where kind is integer, got 4.5"),
        ({"init": 4, "kind": "int"}, "kind must be real, integer, .*, got 'int'; did you mean 'integer'?"),
        ({"init": 4, "kind": "whole"}, "kind must be real, integer, binary or categorical, got 'whole'$"),
    ],
)
def test_a_wrong_block_is_refused_where_it_is_made_and_by_name_where_the_name_is_known(settings, message):
    with pytest.raises(SettingError, match=f"^Block.{message}"):
        Block(**settings)
    with pytest.raises(SettingError, match=f"^space.x.{message}"):
        make_block("x", settings)


def test_a_large_block_is_checked_in_its_space():
    wrong = Block(torch.full((CHECKED + 1,), 2.0), low=0, high=1)
    with pytest.raises(SettingError, match=r"^space.x.init must be inside its bounds \[0, 1\], got 2"):
        ParameterSpace(x=wrong)
    with pytest.raises(SettingError, match=r"space\.x must be a Block, got list"):
        ParameterSpace(x=[0.5])  # type: ignore[arg-type]
    assert Block([0.3, 0.7], kind="binary").is_whole, "a start between the two values is no fault"


def test_each_coordinate_can_have_its_own_bounds_and_scale():
    space = ParameterSpace(x=Block([0.5, 5.0], low=[0, 0], high=[1, 10]), y=Block([1.0, 1.0], low=0, scale=[2, 3]))
    assert space.scale.tolist() == [1, 10, 2, 3]
    far = torch.full((4,), 9.0, dtype=torch.float64)
    assert space.to_user(far).tolist() == [1, 10, 18, 27]
    assert space.to_user(-far).tolist() == [0, 0, 0, 0]


def test_a_space_without_blocks_raises_a_setting_error():
    with pytest.raises(SettingError, match="at least one block"):
        ParameterSpace()
