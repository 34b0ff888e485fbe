"""How much memory there is. Sizes that do not fit are refused before the memory is asked for.

Without that, a typing error in a size fills the memory of the machine, until the kernel ends this program or others.
The estimates count the largest arrays only, so what is refused cannot work; what is not refused may still be too much.
"""

import contextlib
import math
import mmap
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zg.errors import SettingError

#: Sizes below this number of bytes are not checked: reading the limits takes 0.1 ms.
SMALL = 2**26
#: Bytes for each pixel along the way from a renderer to a loss: three channels in single precision, five times.
PIXEL_BYTES = 60
#: Bytes of the description of one run of a comparison: its config, its folder and its key.
RUN_BYTES = 1000
# Limit, usage, and statistics of a control group, for each version of control groups.
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def check_memory(size: float, /, **settings: Any) -> None:
    """Raise SettingError if `size` bytes are more than what is available. settings: those that ask for it."""
    if size < SMALL or size <= (free := available()):
        return
    named, got = " and ".join(settings), " and ".join(str(value) for value in settings.values())
    needed = f"about {readable(size)} are needed, and {readable(free)} are available"
    raise SettingError(f"{named} must fit into memory, got {got}: {needed}")


def readable(size: float) -> str:
    """A number of bytes with three digits: 19.3 GB, 1.2e+05 PB."""
    power = min(max(int(math.log10(max(size, 1)) // 3), 0), 5)
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def available() -> float:
    """Bytes that this process can still use: the least of free memory and the limits on it; ∞ if none is known."""
    limits = [*_free(), *_address_space(), *_control_groups()]
    return max(0.0, min(limits, default=math.inf))


def _free() -> Iterator[float]:
    """What the kernel can give without swapping."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield 1024.0 * int(line.split()[1])


def _address_space() -> Iterator[float]:
    """What `ulimit -v` leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError):
            yield float(soft - int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE)


def _control_groups() -> Iterator[float]:
    """What the limits of the control groups of this process leave, as in a container or a batch system."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                root = CONTROL_GROUPS / controllers
                group = root / path.lstrip("/")
                for folder in (group, *group.parents):
                    if folder.is_relative_to(root):
                        yield from _left_in(folder, *(V1 if controllers else V2))


def _left_in(folder: Path, limit: str, usage: str, reclaimable: str) -> Iterator[float]:
    """What one control group leaves; its cache of files can be reclaimed."""
    with contextlib.suppress(OSError, ValueError):  # there is no such group, or its limit is `max`
        wanted, used = (int((folder / name).read_text()) for name in (limit, usage))
        lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield float(wanted - used + sum(int(value) for name, value in lines if name == reclaimable))
