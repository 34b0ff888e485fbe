"""Benchmark problems, and programs that measure methods on them: python -m benchmarks.NAME."""

import os

# By default, OpenMP threads spin while they wait for work, which makes runs at the same time on one machine ten times
# slower. OpenMP reads this variable when PyTorch is first imported, and this package is imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
