"""Completion in a shell, asked as argcomplete's function for bash asks."""

import os
import subprocess
import sys

import pytest

# Several lines in one process: the answers end it, so each one is a fork.
SCRIPT = """
import os, sys
from zg.cli.main import main
for line in LINES:
    child = os.fork()
    if child == 0:
        os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line)), _ARGCOMPLETE="1", _ARGCOMPLETE_IFS=" ",
                          _ARGCOMPLETE_STDOUT_FILENAME=sys.argv[1])
        sys.exit(main(["--"]))
    os.waitpid(child, 0)
    print(open(sys.argv[1]).read() if os.path.exists(sys.argv[1]) else "", flush=True)
    open(sys.argv[1], "w").close()
print({"torch"} & set(sys.modules))
"""
ANSWERS = {
    "zg ": {"fit", "list", "new", "explain", "watch", "compare", "tune", "paper", "report"},
    "zg comp": {"compare"},
    "zg watch --p": {"--port"},
    "zg fit --max-r": {"--max-renders"},
    "zg fit --model sn": {"snes"},
    "zg fit --wandb o": {"online", "offline"},
    "zg fit --model es --model.": {"--model.sigma", "--model.lr", "--model.pairs"},
    "zg list ": {"tasks", "methods", "trainings"},
    "zg new me": {"method"},
    "zg compare --methods es,cma": {"es,cmaes"},
    "zg paper --pl": {"--plugins"},
    "zg unknown --": set(),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "answer"
    command = [sys.executable, "-c", f"LINES = {list(ANSWERS)}\n{SCRIPT}", str(path)]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, check=True)
    *lines, modules = done.stdout.split("\n")[:-1]
    assert modules == "set()", "PyTorch is not imported"
    return dict(zip(ANSWERS, lines, strict=True))


@pytest.mark.parametrize("line", ANSWERS)
def test_a_line_is_completed(line, answers):
    found = {word.strip() for word in answers[line].split()}
    if line in ("zg list ",):
        found -= {"--help", "--plain", "-h"}
    assert found - {"--help"} == ANSWERS[line]
