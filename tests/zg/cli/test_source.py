"""Settings and first lines from source, without imports."""

import subprocess
import sys

import pytest

from zg.cli.source import Setting, fields_of, first_line, settings_of
from zg.config.registry import registered

MODULE = '''
from typing import Literal
FIRST, LIMIT = 3, 7
Mode = Literal["fast", "exact"]


class Base:
    """A base.

    sigma: width, in
        scaled units. lr: learning rate.
    """

    def __init__(self, sigma: float, lr: float = 0.1) -> None:
        pass


class Child(Base):
    """What a child does: more.

    mode: how. count: of samples;
    at least one. Raises SettingError for another.

    A note: not a setting.
    """

    def __init__(self, sigma: float, mode: Mode = "fast", count: int = LIMIT, *, lr: float = 0.2) -> None:
        pass


class Settings:
    #: Width, in
    #: scaled units.
    width: float = 0.5
    bare: int
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "explained.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_settings_are_explained_by_the_docstrings_of_a_class_and_its_bases(module):
    assert first_line("explained.Child") == "What a child does: more."
    assert settings_of("explained.Child") == [
        Setting("sigma", "float", None, "width, in scaled units."),
        Setting("mode", "one of 'fast', 'exact'", "'fast'", "how."),
        Setting("count", "int", "7", "of samples; at least one."),
        Setting("lr", "float", "0.2", "learning rate."),
    ]


def test_fields_are_explained_by_the_comments_above_them(module):
    assert fields_of("explained.Settings") == [
        Setting("width", "float", "0.5", "Width, in scaled units."),
        Setting("bare", "int", None, ""),
    ]


def test_what_cannot_be_read_is_called_by_its_path():
    assert first_line("no_such_package.module.Class") == "no_such_package.module.Class"
    assert settings_of("no_such_package.module.Class") == []


@pytest.mark.parametrize("kind", ["task", "method"])
def test_every_setting_of_every_registered_class_is_explained(kind):
    for name, path in registered(kind).items():
        assert first_line(path) != path, name
        assert [setting.name for setting in settings_of(path) if not setting.meaning] == [], name


def test_a_list_imports_neither_pytorch_nor_the_packages_that_it_lists():
    listed = "import sys; from zg.cli.main import main; main(['list', 'methods'])"
    script = f"{listed}; print({{'torch', 'cma'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
