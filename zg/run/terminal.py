"""Where a person may be looking."""

import sys


def is_watched() -> bool:
    """Whether a person looks at standard error: it is a terminal, or this is a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    stream = sys.stderr
    return hasattr(shell, "kernel") or (stream is not None and not stream.closed and stream.isatty())


def print_aside(text: str) -> None:
    """Print a line on standard error: standard output is the caller's."""
    print(text, file=sys.stderr)
