"""The command line: zg fit | compare | report | tune | paper | list."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from zg.config.registry import check_floors
from zg.errors import SettingError, nearest

USAGE = """usage: zg COMMAND ...

  zg fit --config configs/toy.yaml [--config ...] [--model es] [--model.sigma 0.1] [--out DIR] [--resume]
  zg compare --tasks toy,texture --methods zerograds,es,cmaes --max-renders 2000 --seeds 3 --out DIR
  zg report DIR
  zg tune --tasks toy --methods es,cmaes --trials 24
  zg paper --preset smoke|cpu|full --out DIR
  zg list tasks|methods [--plain]

`zg COMMAND --help` says more; --debug anywhere shows the traceback of an error."""


FIT_HELP = """usage: zg fit --config FILE [--config FILE ...] [--SETTING VALUE ...]

One run. Later configs win over earlier ones, settings over configs.

  --data NAME, --data.KEY VALUE      the task and its settings        (zg list tasks)
  --model NAME, --model.KEY VALUE    the method and its settings      (zg list methods)
  --seed N                           start, reference and method      (default 0)
  --max-renders N                    the budget                       (default 2000)
  --max-seconds S                    stop after so long, rendering and method together
  --target-loss L                    stop at a loss as low as this
  --patience RENDERS                 stop after so many without a new best loss
  --max-failed FRACTION              stop when more renders than this fail   (default 0.5)
  --out DIR                          the run folder                   (default runs/TASK-METHOD-N)
  --resume                           go on from the checkpoint in --out
  --checkpoint-renders N, --checkpoint-seconds S
                                     how often to write it            (default every 60 s)
  --curve-points N                   how often the present θ is rendered, uncounted, for curve and video (default 50)
  --video false                      keep no frames
  --wandb MODE                       auto (default), online, offline or disabled; --group NAME
  --trainer.KEY VALUE                any argument of Lightning's Trainer, such as --trainer.accelerator gpu
  --print-config                     print the composed config and stop"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes of the user end in one line and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if words[0] == "--version":
        print(f"zerograds {version('zerograds')}")
        return 0
    try:
        check_floors()
        if "" not in sys.path:
            sys.path.append("")  # a class path may name a module of the working directory
        if words[0] not in COMMANDS:
            raise SettingError(f"command '{words[0]}' is unknown{nearest(words[0], COMMANDS)}")
        code = COMMANDS[words[0]](words[1:])
        sys.stdout.flush()  # or a reader that is gone would be noticed where nothing can be done about it
        return code
    except SettingError as error:
        if debug:
            raise
        print(f"zg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def fit(words: list[str]) -> int:
    """One run from configs and settings."""
    if "-h" in words or "--help" in words:
        print(FIT_HELP)
        return 0
    from zg.cli.fit import fit_command

    return fit_command(words)


def compare(words: list[str]) -> int:
    """Methods × tasks × seeds: rows, and from them tables, figures and one page."""
    from baselines.compare.options import compare_options

    options = compare_options(words)  # before the imports, for they take seconds
    from baselines.compare.compare import compare_command

    return compare_command(options)


def report(words: list[str]) -> int:
    """Tables, figures and page of a comparison anew."""
    from baselines.compare.options import report_options

    options = report_options(words)
    from baselines.compare.report import report_command

    return report_command(options)


def tune(words: list[str]) -> int:
    """The best settings of each method on each task, by equally many trials."""
    from baselines.compare.options import tune_options

    options = tune_options(words)
    from baselines.compare.tune import tune_command

    return tune_command(options, words)


def paper(words: list[str]) -> int:
    """The paper's tables, figures and verdicts from one command."""
    from paper.run import paper_command

    return paper_command(words)


def list_names(words: list[str]) -> int:
    """What can be named."""
    from zg.config.compose import read_yaml
    from zg.config.registry import configured, names, registered

    parser = argparse.ArgumentParser(prog="zg list", description="Tasks or methods by name.")
    parser.add_argument("what", choices=("tasks", "methods"))
    parser.add_argument("--plain", action="store_true", help="one name a line")
    options = parser.parse_args(words)
    kind = options.what.removesuffix("s")
    for name in names(kind):
        if options.plain:
            print(name)
            continue
        path: Path | None = configured(kind).get(name)
        about = str(read_yaml(path).get("about", "")) if path else registered(kind)[name]
        print(f"{name:16} {about}")
    return 0


COMMANDS = {"fit": fit, "compare": compare, "report": report, "tune": tune, "paper": paper, "list": list_names}

if __name__ == "__main__":
    sys.exit(main())
