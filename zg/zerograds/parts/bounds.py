"""What bounds leave of probes around θ."""

from collections.abc import Callable

from torch import Tensor


def distances_inside(theta: Tensor, directions: Tensor, length: float, project: Callable[[Tensor], Tensor]) -> Tensor:
    """How far [k] the points θ + length · u still are along u once they are inside the bounds.

    theta [n] scaled; directions [k, n]: unit vectors u; length: scaled units, of any sign, which the distances share.
    Without bounds every distance is `length`.
    """
    offsets = project(theta + length * directions) - theta
    return (offsets * directions).sum(1)
