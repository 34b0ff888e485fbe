"""Standard output as people leave it: closed, full, without a reader, or in an encoding without θ."""

import os
import sys

# Errors of `say` that `flush` has to tell.
_errors: list[OSError] = []


def open_streams() -> None:
    """Give standard output and standard error a place, if they are closed, and a way to write every character."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes this number, so that no file of a run does and gets what is printed
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as after `zg list tasks >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, for it stays open
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Print a line. An output that cannot be written is no reason to end a run; `flush` tells it at the end."""
    try:
        print(text)
    except OSError as error:
        _errors.append(error)


def complain(text: str) -> None:
    """Print an error in one line, whatever it quotes."""
    print("zg: " + "\\n".join(text.splitlines()), file=sys.stderr)


def flush() -> str:
    """Write what is still to be written; returns why it could not be, or nothing. Raises BrokenPipeError."""
    try:
        if _errors:
            error = _errors[0]
            _errors.clear()
            raise error
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard()
        return f"standard output cannot be written: {error.strerror}"
    return ""


def discard() -> None:
    """Send what is printed from now on nowhere. Otherwise Python complains when it flushes the output at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
