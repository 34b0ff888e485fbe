"""The sign of life of a run in a process of its own."""

from baselines.compare.isolation import Beat
from zg.method import Method, Watcher


class Heartbeat(Watcher):
    """Says after every iteration how many renders are spent, of how many."""

    def __init__(self, beat: Beat) -> None:
        self.beat = beat

    def look(self, method: Method) -> None:
        self.beat(method.objective.renders, method.objective.max_renders)
