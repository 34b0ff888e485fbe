"""The hash of the code that a run executes: which files change it, and which do not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zg.run.provenance import config_hash, machine, peak_mb, revision

ROOT = Path(__file__).parents[3]
PACKAGES = ("zg", "tasks", "baselines")
# Task and method of a run; the first is also a task with a scene that Blender executes.
LED, TOY = ("tasks.led_display", "baselines.es"), ("tasks.toy", "baselines.es")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the packages, to be changed."""
    folder = tmp_path_factory.mktemp("clone")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.obj", "*.png"))
    return folder


def in_clone(clone, expression):
    """The value of a Python expression, computed by the copy of zg.run.provenance."""
    script = f"import json, zg.run.provenance as p; assert p.ROOT.samefile('.'); print(json.dumps({expression}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=clone, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def changed_hashes(clone, path, text="\nCHANGED = 1\n"):
    """Which of the two runs have another hash after a change of this file, which is then undone."""
    hashes = f"[p.code_hash(*modules) for modules in {[LED, TOY]}]"
    before, file = in_clone(clone, hashes), clone / path
    former = file.read_bytes()
    with file.open("a") as source:
        source.write(text)
    after = in_clone(clone, hashes)
    file.write_bytes(former)
    assert all(len(value) == 12 for value in before)
    return [name for name, old, new in zip(("led", "toy"), before, after, strict=True) if old != new]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("zg/objective.py", ["led", "toy"]),
        ("baselines/es.py", ["led", "toy"]),
        ("baselines/descent.py", ["led", "toy"]),
        ("tasks/toy.py", ["toy"]),
        ("tasks/led_display.py", ["led"]),
        ("tasks/renderers/blender.py", ["led"]),
        ("tasks/renderers/scenes/led_display.py", ["led"]),
        ("tasks/renderers/scenes/stage.py", ["led"]),
        ("zg/workers/pool.py", ["led", "toy"]),
        ("zg/workers/processes.py", ["led"]),
        ("zg/workers/child.py", ["led"]),
    ],
)
def test_a_file_that_a_run_executes_changes_its_hash(clone, path, expected):
    assert changed_hashes(clone, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "tasks/wicker.py",
        "tasks/renderers/scenes/wicker.py",
        "baselines/cmaes.py",
        "baselines/compare/grid.py",
        "zg/run/tracking.py",
        "zg/run/folder.py",
        "zg/api.py",
        "zg/zerograds/method.py",
    ],
)
def test_a_file_that_a_run_does_not_execute_keeps_its_hash(clone, path):
    assert changed_hashes(clone, path) == []


def reached_from(clone, source):
    """The files that a module with this source reaches, relative to the packages."""
    (clone / "baselines" / "written.py").write_text(source)
    files = "sorted(f.relative_to(p.ROOT).as_posix() for f in p.reached(p.files_of('baselines.written')))"
    return in_clone(clone, files)


def test_an_import_inside_a_function_counts(clone):
    reached = reached_from(clone, "def later():\n    from zg.zerograds.method import ZeroGrads\n")
    assert {"baselines/written.py", "zg/zerograds/method.py", "zg/zerograds/choose.py"} <= set(reached)


def test_an_import_for_type_checkers_does_not_count(clone):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import zg.space\nelse:\n    import zg.losses\n"
    reached = reached_from(clone, source)
    assert "zg/losses.py" in reached and "zg/space.py" not in reached


def test_a_public_name_of_zg_counts_as_its_module(clone):
    reached = reached_from(clone, "from zg import Block\n")
    assert "zg/space.py" in reached and "zg/api.py" not in reached


def test_a_module_of_another_package_has_no_files(clone):
    assert in_clone(clone, "[len(p.files_of(name)) for name in ('torch', 'json.decoder')]") == [0, 0]


def test_a_config_hash_depends_on_values_and_not_on_their_order():
    config = {"data": {"class_path": "tasks.toy.Toy", "init_args": {"n": 3}}, "model": {"name": "es"}}
    assert config_hash(config) == config_hash(dict(reversed(config.items())))
    assert config_hash(config) != config_hash({**config, "model": {"name": "cmaes"}})
    assert len(config_hash(config)) == 12


def test_a_clone_without_git_has_no_revision(clone):
    assert in_clone(clone, "p.revision()") == ""


def test_the_revision_is_that_of_git():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert commit.startswith(revision().removesuffix("+")) and revision()


def test_the_machine_and_the_memory_are_known():
    assert "cores" in machine()
    assert peak_mb() > 10
