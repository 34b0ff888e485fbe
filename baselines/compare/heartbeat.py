"""The sign of life that a run in a process of its own sends."""

from baselines.compare.isolation import Beat
from zg.loop import Loop
from zg.run.observer import Observer


class Heartbeat(Observer):
    """Sends, after every iteration, the renders so far and the budget."""

    def __init__(self, beat: Beat) -> None:
        self.beat = beat

    def iterated(self, loop: Loop) -> None:
        self.beat(loop.renders, loop.budget.max_renders)
