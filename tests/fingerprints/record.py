"""Take every fingerprint: python -m tests.fingerprints.record [CASE ...] [--out FILE].

Without --out it writes `recorded.json`, with which `make test` compares. A commit that records again says why,
and changes nothing else in it. The same bits need one thread and plain vector instructions, which `ENVIRONMENT` sets,
and the same libraries on the same kind of processor, which `platform` tells.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("recorded.json")
ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "default",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
LIBRARIES = ("torch", "numpy", "scipy", "cma", "nevergrad", "nlopt", "pymoo")


def platform() -> str:
    """Libraries, and a hash of what linear algebra and special functions make of fixed numbers here."""
    import numpy as np
    import torch

    x = torch.linspace(-1, 1, 40 * 40, dtype=torch.float64).reshape(40, 40)
    symmetric = x @ x.T + torch.eye(40, dtype=torch.float64)
    parts = [
        torch.linalg.eigh(symmetric)[1],
        torch.linalg.cholesky(symmetric),
        (x.exp().log1p().sum(1) / x.cos().norm()).sqrt(),
        (x.float() @ x.float().T).double(),
        torch.from_numpy(np.linalg.eigh(symmetric.numpy())[1]),
    ]
    digest = hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in parts)).hexdigest()[:12]
    return ", ".join([f"{name} {version(name)}" for name in LIBRARIES] + [digest])


def take(names: list[str]) -> dict[str, Any]:
    """The fingerprints of these cases, by default of all."""
    import torch

    from tests.fingerprints.cases import CASES, call_fingerprint, fingerprint

    torch.set_num_threads(1)
    cases = {name: fingerprint(CASES[name]) for name in names or CASES}
    return {"platform": platform(), "cases": cases} | ({} if names else {"calls": call_fingerprint()})


def record(out: Path, names: list[str]) -> None:
    """Take them in a process of its own, for the environment has to be there before torch."""
    command = [sys.executable, "-m", "tests.fingerprints.record", *names, "--here", "--out", str(out)]
    subprocess.run(command, env=os.environ | ENVIRONMENT, cwd=Path(__file__).parents[2], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--out", type=Path, default=RECORDED)
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.here:
        options.out.write_text(json.dumps(take(options.cases), indent=1, ensure_ascii=False) + "\n")
    else:
        record(options.out, options.cases)


if __name__ == "__main__":
    main()
