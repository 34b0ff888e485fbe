"""Devices of this machine: a batch of a task that renders in PyTorch, in parts, one on each device, side by side.

A device may be named twice: then two threads share it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

import torch
from torch import Tensor

from zg.errors import SettingError

# The name of all devices.
ALL = "all"


def parse_devices(names: str | Sequence[str]) -> tuple[torch.device, ...]:
    """Devices by their names, as a list or with commas; `all`: every GPU of this machine, or else its CPU.

    Raises SettingError for a device that this machine does not have.

    >>> parse_devices("cpu,cpu")
    (device(type='cpu'), device(type='cpu'))
    """
    if names == ALL:
        names = [f"cuda:{k}" for k in range(torch.cuda.device_count())] or ["cpu"]
    listed = names.split(",") if isinstance(names, str) else list(names)
    found = []
    for name in listed:
        try:
            found.append(torch.empty(0, device=str(name).strip()).device)
        except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without it
            reason = str(error).splitlines()[0]
            raise SettingError(
                f"devices must be of this machine, such as cpu or cuda:0, got '{name}': {reason}"
            ) from None
    if not found:
        raise SettingError(f"devices must name a device, got {names!r}")
    return tuple(found)


class Renderer(Protocol):
    """What renders batches on one device. last_error: why a render was NaN, if it can say so."""

    last_error: str

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """x [b, n] on the device, seeds [b] -> images [b, ...]."""


class Shards:
    """Renders batches in parts of about equal size, one on each device. renderers: one for each device."""

    def __init__(self, devices: Sequence[torch.device], renderers: Sequence[Renderer]) -> None:
        self.devices, self.renderers = tuple(devices), tuple(renderers)
        self._threads: ThreadPoolExecutor | None = None

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        """x [B, n], seeds [B] -> images [B, ...] on the first device, in the order of x."""
        self._threads = self._threads or ThreadPoolExecutor(len(self.devices) - 1)
        first, *others = zip(*(one.tensor_split(len(self.devices)) for one in (x, *seeds)), strict=True)
        asked = [self._threads.submit(self._part, k, *part) for k, part in enumerate(others, 1) if len(part[0])]
        try:
            images = self.renderers[0].render(*first)
        finally:
            wait(asked)  # also where one has failed: the next batch must not meet them
        for other in self.renderers[1:]:
            self.renderers[0].last_error, other.last_error = self.renderers[0].last_error or other.last_error, ""
        return torch.cat([images, *(one.result() for one in asked)])

    def _part(self, k: int, x: Tensor, *seeds: Tensor) -> Tensor:
        with torch.no_grad():  # which is a setting of each thread
            return self.renderers[k].render(x.to(self.devices[k]), *seeds).to(self.devices[0])

    def close(self) -> None:
        """End the threads. A later batch starts them again."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
