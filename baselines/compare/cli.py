"""The commands `zg compare`, `zg report` and `zg tune`: each takes the words of its command line.

Options are parsed before the imports that take seconds, so that `--help` and a mistake are answered at once.
"""


def compare(words: list[str]) -> int:
    """Methods × tasks × seeds: rows, and from them tables, figures and one page."""
    from baselines.compare.options import compare_options

    options = compare_options(words)
    from baselines.compare.compare import compare_command

    return compare_command(options)


def report(words: list[str]) -> int:
    """Tables, figures and page of a comparison, written again from its rows."""
    from baselines.compare.options import report_options

    options = report_options(words)
    from baselines.compare.report import report_command

    return report_command(options)


def tune(words: list[str]) -> int:
    """The best settings of each method on each task, with the same number of trials for every method."""
    from baselines.compare.options import tune_options

    options = tune_options(words)
    from baselines.compare.tune import tune_command

    return tune_command(options, words)
