"""The wheel works from an empty folder, with every optional package and with none.

The environments are virtual ones, to which the packages that are installed here are linked: nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution, distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("zg", "tasks", "baselines", "paper", "configs")
# What the program does not read: pages for readers, and bytecode.
LEFT_OUT = (".md", ".pyc")
# Run in one process, for the imports take seconds: exit codes on standard output, messages on standard error.
REFUSED = """
import sys
from zg.cli.main import main

for line in sys.stdin:
    print(main(line.split()), flush=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build folder in the clone would keep files that are gone."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def complete(wheel, tmp_path_factory):
    """The folder of the programs of an environment that has everything that is installed here."""
    everything = {canonicalize_name(one.metadata["Name"]) for one in distributions()}
    return environment(tmp_path_factory.mktemp("complete"), wheel, everything)


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """The same for an environment that has what `pip install zerograds` brings, and no extra."""
    return environment(tmp_path_factory.mktemp("bare"), wheel, needed("zerograds"))


def needed(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """The packages that pip installs with a package."""
    found, waiting, seen = set(), [(name, extras)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        for requirement in map(Requirement, requires(name) or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def environment(folder: Path, wheel: Path, packages: set[str]) -> Path:
    """Make a virtual environment of the wheel and of links to packages; the folder of its programs."""
    venv.create(folder, symlinks=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for name in packages - {"zerograds"}:
        here = distribution(name)
        for top in {path.parts[0] for path in here.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(here.locate_file(top))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin"


def run(bin: Path, *words: str, **settings) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment, which must not find the modules of the clone."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([bin / words[0], *words[1:]], capture_output=True, text=True, env=variables, **settings)


def test_the_wheel_holds_every_file_that_is_read_and_nothing_else(wheel):
    there = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix not in LEFT_OUT
    }
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if ".dist-info/" not in name}
    assert held == there


def test_the_wheel_is_used_from_an_empty_folder(complete):
    where = run(complete, "python", "-c", "import zg, tasks, baselines, paper; print(zg, tasks, baselines, paper)")
    assert where.stdout.count(str(complete.parent)) == 4
    assert {"toy", "texture256", "cornell_box"} <= set(run(complete, "zg", "list", "tasks", "--plain").stdout.split())
    words = "fit --config configs/toy.yaml --max-renders 30 --wandb disabled --out run".split()
    done = run(complete, "zg", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("run", "row.json").is_file()
    assert Path("run", "video.mp4").is_file()


def test_the_core_alone_lists_and_optimises(bare):
    assert "usage: zg COMMAND" in run(bare, "zg", "--help").stdout
    listed = run(bare, "zg", "list", "methods")
    assert "cmaes" in listed.stdout, listed.stderr
    done = run(bare, "zg", *"fit --data toy --max-renders 30 --wandb disabled --out run".split())
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("run", "video.mp4").is_file()


def test_a_missing_package_is_told_in_one_line_with_its_extra(bare):
    wanted = {
        "--data toy --model cmaes": "method 'cmaes' needs the package 'cma': pip install 'zerograds[baselines]'",
        "--data toy --model nevergrad": "method 'nevergrad' needs the package 'nevergrad': "
        "pip install 'zerograds[baselines]'",
        "--data toy --model genetic": "method 'genetic' needs the package 'pymoo': pip install 'zerograds[baselines]'",
        "--data texture": "task 'texture' needs the package 'scikit-image': pip install 'zerograds[tasks]'",
        "--data cornell_box": "variant 'scalar_rgb' needs the package 'mitsuba': pip install 'zerograds[mitsuba]'",
        "--data toy --config board.yaml": "trainer needs the package 'tensorboard': "
        "pip install 'zerograds[tensorboard]'",
        "--config exr.yaml": "format exr needs the package 'OpenEXR': pip install 'zerograds[exr]'",
    }
    space = "space: {a: {init: 0}}, target: {a: 0}, shape: [3, 4, 4]"
    Path("exr.yaml").write_text(f"data: {{name: external, argv: ['true'], format: exr, {space}}}\n")
    logger = "{class_path: pytorch_lightning.loggers.TensorBoardLogger, init_args: {save_dir: board}}"
    Path("board.yaml").write_text(f"trainer: {{logger: {logger}}}\n")
    lines = "".join(f"fit {words} --wandb disabled --out run\n" for words in wanted)
    lines += "tune --tasks toy --methods es --trials 2\nwatch .\n"
    wanted["tune"] = "tune needs the package 'optuna': pip install 'zerograds[baselines]'"
    wanted["watch"] = "watch needs the package 'Werkzeug': pip install 'zerograds[watch]'"
    done = run(bare, "python", "-c", REFUSED, input=lines)
    assert not Path("configs").exists()
    for line, message in zip(done.stderr.splitlines(), wanted.values(), strict=True):
        assert line.startswith("zg: ")
        assert message in line
    assert done.stdout.split() == ["2"] * len(wanted)
