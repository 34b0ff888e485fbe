"""The running mean: plain over the first numbers, exponential from then on.

    m ← κ m + (1 − κ) x,    κ = min(1 − 1/N, t / (t + 1))    for the number x after t others

A mean over N numbers follows what changes over more than N of them.
"""


def running_mean(mean: float, new: float, count: int, over: int) -> float:
    """The mean with one more number.

    count: t, how many numbers there were. Several means may share it, although some of them were not told every number.
    over: N, about how many numbers the mean remembers.
    """
    kept = min(1 - 1 / over, count / (count + 1))
    return kept * mean + (1 - kept) * new
