"""ZeroGrads: optimise any black-box graphics pipeline with a surrogate of its loss, learned online."""

import os

# OpenMP threads that spin while they wait make two runs on one machine ten times slower than one after the other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
