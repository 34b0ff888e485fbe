"""A real Ray cluster of several nodes on this machine, on loopback only, for tests and measurements."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from zg.workers.cluster import AT_HOME

# Ray reads it when it is imported, so this comes before every import of Ray.
os.environ.update(AT_HOME)
NODE = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}


@contextmanager
def cluster(nodes=2, cpus=1):
    """A head without CPUs and that number of nodes, as ray.cluster_utils.Cluster, and its nodes in a list."""
    from ray.cluster_utils import Cluster

    handler = signal.getsignal(signal.SIGTERM)  # nodes set one of their own
    made = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    try:
        yield made, [made.add_node(num_cpus=cpus, **NODE) for _ in range(nodes)]
    finally:
        made.shutdown()
        signal.signal(signal.SIGTERM, handler)


def loses(made, nodes):
    """Kill a node at once, one that this process is not connected through, and everything on it."""
    import ray

    own = ray._private.worker.global_worker.node
    victim = next(node for node in nodes if own is None or node._raylet_socket_name != own._raylet_socket_name)
    nodes.remove(victim)
    made.remove_node(victim, allow_graceful=False)


LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


def listening():
    """TCP sockets of Ray that accept connections: (all of them, those that do so from outside this machine)."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                addresses[fields[9]] = fields[1].rpartition(":")[0]
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            sockets = {os.readlink(link)[8:-1] for link in (process / "fd").iterdir()}
        except OSError:
            continue
        if b"/ray/" in command or command.startswith(b"ray::"):
            found += [(int(process.name), command[:60], addresses[inode]) for inode in sockets & addresses.keys()]
    return found, [one for one in found if one[2] not in LOOPBACK]
