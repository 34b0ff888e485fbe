"""The README's first example, and its picture docs/face.png: python -m docs.draw_first"""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: The code of the first example.
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def run_first(folder: Path) -> dict[str, Any]:
    """Run the first example of README.md in a folder, to which it writes its picture; the names that it leaves."""
    found = EXAMPLE.search((ROOT / "README.md").read_text())
    assert found is not None
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(found[1], names)
    finally:
        os.chdir(before)
    return names


if __name__ == "__main__":
    run_first(ROOT / "docs")
