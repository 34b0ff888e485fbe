"""Where the runs of a comparison are made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where runs are made, and how many side by side.

    pool: `processes` of this machine, or `ray`. address: of the cluster, host:6379; by default Ray on this machine.
    side_by_side: number of runs; None is 1 at home, and on a cluster as many as its CPUs allow at the start.
    cpus, gpus, memory: of one run, memory in GB; Ray starts it where they are free.
    """

    pool: str = "processes"
    side_by_side: int | None = None
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    memory: float | None = None
