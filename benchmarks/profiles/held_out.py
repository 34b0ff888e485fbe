"""The run on held-out families: which instances, and which run of a change counts.

The instances follow from the hash of the commit, so nobody knows them before the change is committed. The rows of a
commit are a file of their own, which is kept. The first run of a change is the one that counts: a second run of the
same code, also under another commit, is refused, or marked with `counts: false`.
"""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zg.errors import SettingError
from zg.run.provenance import ROOT

#: Folders whose code can change what a run gives.
CODE = ("zg", "tasks", "baselines", "benchmarks")
INSTANCES = 3


@dataclass(frozen=True)
class Change:
    """A commit. sha: its hash. tree: a hash of its Python files, which is that of other commits with the same code."""

    sha: str
    tree: str

    def instances(self, count: int = INSTANCES) -> list[int]:
        """The instances of the held-out run of this commit."""
        digests = (hashlib.sha256(f"{self.sha} {k}".encode()).digest() for k in range(count))
        return [int.from_bytes(digest[:4]) >> 1 for digest in digests]


def present_change(root: Path = ROOT) -> Change:
    """The commit that is checked out in a clone. Raises SettingError if its code is not that of the working tree."""
    changed = git(root, "status", "--porcelain", "--", *CODE)
    if changed:
        raise SettingError(f"rows that are kept need committed code, these files differ: {' '.join(changed.split())}")
    files = git(root, "ls-tree", "-r", "HEAD", "--", *CODE).splitlines()
    code = "\n".join(line for line in files if line.endswith(".py"))
    tree = hashlib.sha256(code.encode()).hexdigest()[:12]
    return Change(git(root, "rev-parse", "HEAD").strip(), tree)


def git(root: Path, *words: str) -> str:
    """The output of a command of git in a clone."""
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout


def marks(change: Change, rows: Iterable[Mapping[str, Any]], again: bool) -> dict[str, Any]:
    """What is written into the rows of this run besides. rows: those that are there.

    A run that was interrupted goes on under its commit. Raises SettingError for the second run of the same code, unless
    `again`: then the rows are marked as not counting.
    """
    earlier = {row["sha"] for row in rows if row["tree"] == change.tree and row["counts"]}
    counts = not earlier or change.sha in earlier
    if not counts and not again:
        shas = ", ".join(sha[:12] for sha in earlier)
        raise SettingError(f"the held-out run of this code is that of {shas}; --again runs it without counting")
    return {"sha": change.sha, "tree": change.tree, "counts": counts}
