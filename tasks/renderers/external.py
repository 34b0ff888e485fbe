"""Any program as a renderer: it gets parameters by its command line or as JSON, and writes an image file.

    renderer = ExternalRenderer(["draw", "--radius", "{radius}", "--out", "{output}"])
    image = renderer({"radius": 0.3})  # [C, H, W] float32

Placeholders in the arguments: `{NAME}` is the value of a block, `{NAME[2]}` one number of it, `{output}` the path of
the image to write, `{parameters}` the path of a JSON file with all values, `{seed}` the seed of the render, `{width}`
and `{height}` the size of the image. Without `{parameters}` the same JSON is on standard input. This file is also a
scene file of `zg.workers`, which has the time-out: it kills the whole process group, and with it the program.
"""

import json
import os
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zg.calling import Argument, divided
from zg.extras import load_package
from zg.images import read_picture

FORMATS = ("png", "exr", "npy")
OWN_WORDS = ("output", "parameters", "seed", "width", "height")
PLACEHOLDER = re.compile(r"\{(\w+)(?:\[(\d+)\])?\}")
# How often a program is run that is ended by a signal.
TRIES = 2
# Bytes that a pipe holds.
PIPE = 65536
# Seconds between two looks whether a program has ended while a child of it still holds its output.
POLL_SECONDS = 0.02
# Bytes of printed output that are kept for error messages: the last ones.
KEPT_OUTPUT = 4096


class ExternalRenderer:
    """Runs a program once for every render, without a shell.

    argv: the program and its arguments. format: of the image: png, or exr or npy, whose values are taken as they are
    ([H, W] or [H, W, C]); alpha is dropped. shape: [C, H, W], for `{width}` and `{height}`. blocks: {name: shape} of
    the blocks in the vectors of `render`. integers: names of the blocks that hold integers. choices: {name: values} of
    the categorical ones, whose vectors are one-hot. folder: where the program runs. version_argv: the command that
    prints its version. at_least: the oldest version that is accepted. echo: whether to print what the program prints.
    Raises ValueError for a setting that is wrong, and RuntimeError with the program's last output when a render fails.
    """

    def __init__(
        self,
        argv: Sequence[str],
        format: str = "png",
        shape: Sequence[int] | None = None,
        blocks: Mapping[str, Sequence[int]] | None = None,
        integers: Sequence[str] = (),
        choices: Mapping[str, Sequence[Any]] | None = None,
        folder: str | None = None,
        version_argv: Sequence[str] | None = None,
        at_least: str = "",
        echo: bool = False,
    ) -> None:
        self.argv, self.format, self.folder, self.echo = list(argv), format, folder, echo
        arguments = [
            Argument(name, tuple(shape), name in integers, (choices or {}).get(name))
            for name, shape in (blocks or {}).items()
        ]
        self.blocks = {block.name: block for block in arguments}
        self.size = {} if shape is None else {"width": shape[-1], "height": shape[-2]}
        if not self.argv or shutil.which(self.argv[0]) is None:
            raise ValueError(f"argv must start with an executable program, got {self.argv[:1]}")
        if format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got '{format}'")
        if format == "exr":
            load_package("OpenEXR", "format exr")
        if taken := self.blocks.keys() & set(OWN_WORDS):
            raise ValueError(f"a block cannot be named '{taken.pop()}', which has a meaning of its own in argv")
        self.version_text = self._version(version_argv, at_least) if version_argv else ""

    def version(self) -> str:
        """The version that the program printed."""
        return self.version_text

    def render(self, x: np.ndarray, seed: int) -> np.ndarray:
        """x [n] in the order of `blocks` -> [C, H, W] float32."""
        parameters = {}
        for block, part in divided(x, list(self.blocks.values())):
            value = part.astype(int) if block.is_whole else part if block.choices is None else block.choice(part)
            parameters[block.name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        return self(parameters, seed)

    def __call__(self, parameters: Mapping[str, Any], seed: int = 0) -> np.ndarray:
        """{block: number or list of numbers} -> [C, H, W] float32."""
        for _ in range(TRIES):
            # A folder for each run of the program: whatever an earlier one left, removed or still writes is elsewhere.
            with tempfile.TemporaryDirectory(prefix="zg-external-", ignore_cleanup_errors=True) as folder:
                code, said = self._run_in(Path(folder), parameters, seed)
                output = self._output(Path(folder))
                if code == 0 and output.is_file():
                    return read_picture(output)
                instead = ", and a folder is in its place" if output.is_dir() else ""
            if code >= 0:
                break
        if code:
            raise RuntimeError(f"{self.argv[0]} ended with code {code}{said}")
        raise RuntimeError(f"{self.argv[0]} wrote no image.{self.format}{instead}{said}")

    def _output(self, folder: Path) -> Path:
        return folder / f"image.{self.format}"

    def _run_in(self, folder: Path, parameters: Mapping[str, Any], seed: int) -> tuple[int, str]:
        """Run the program with the files of one render in a folder; returns as `_run` does."""
        given = folder / "parameters.json"
        given.write_text(json.dumps({**parameters, "seed": seed}))
        known = {**parameters, **self.size, "output": self._output(folder), "parameters": given, "seed": seed}
        words = [PLACEHOLDER.sub(lambda match: _filled(match, known), word) for word in self.argv]
        return self._run(words, os.devnull if "{parameters}" in "".join(self.argv) else given)

    def _run(self, words: list[str], given: str | Path) -> tuple[int, str]:
        """Run the program -> its exit code, and its last output as text for an error message."""
        with open(given) as stdin:
            process = subprocess.Popen(
                words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder
            )
        assert process.stdout is not None
        try:
            kept = self._printed(process)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            process.wait()
        lines = [" ".join(line.split()) for line in kept.decode(errors="replace").splitlines()]
        return process.returncode, "; last output: " + " | ".join([line for line in lines if line][-3:])[-300:]

    def _printed(self, process: "subprocess.Popen[bytes]") -> bytes:
        """The last bytes that a program prints until it ends. Children that it leaves may hold its output open."""
        assert process.stdout is not None
        kept = b""
        while True:
            has_ended = process.poll() is not None  # first: all that it printed is in the pipe then, at most PIPE bytes
            is_ready = bool(select.select([process.stdout], [], [], 0 if has_ended else POLL_SECONDS)[0])
            part = os.read(process.stdout.fileno(), PIPE) if is_ready else b""
            kept = (kept + part)[-KEPT_OUTPUT:]
            if self.echo:
                os.write(1, part)
            if has_ended or (is_ready and not part):
                return kept

    def _version(self, argv: Sequence[str], at_least: str) -> str:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60
        )
        found = re.search(r"\d+(?:\.\d+)+", done.stdout.decode(errors="replace"))
        version = found[0] if found else "none"
        if at_least and (not found or _numbers(version) < _numbers(at_least)):
            raise ValueError(f"{argv[0]} must be version {at_least} or later, got {version}")
        return version


def load(settings: dict[str, Any]) -> ExternalRenderer:
    """The renderer of this scene file; `zg.workers` keeps what it prints."""
    return ExternalRenderer(**settings, echo=True)


def _filled(match: "re.Match[str]", known: Mapping[str, Any]) -> str:
    name, index = match.groups()
    if name not in known:
        raise ValueError(f"argv has an unknown placeholder {match[0]}; known: {', '.join(sorted(known))}")
    values = np.ravel(known[name]).tolist()
    return ",".join(map(str, values)) if index is None else str(values[int(index)])


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
