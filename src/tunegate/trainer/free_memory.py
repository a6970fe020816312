"""How much memory is left to this process: on its GPU, or on the machine within the limits that are set to it."""

import ctypes
import gc
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from tunegate.trainer.device import Device

ROOT = Path("/")
NO_LIMIT = 2**60
"""What cgroup v1 says where there is no limit is a little below 2**63."""


def free_memory(device: Device, neighbours: int = 1) -> int:
    """Bytes. `neighbours`: processes of this job on the same machine, who share a CPU's memory."""
    release()
    if device.is_cuda:
        free, _ = torch.cuda.mem_get_info(device.torch_device)
        reserved = torch.cuda.memory_reserved(device.torch_device)
        return free + reserved - torch.cuda.memory_allocated(device.torch_device)
    alone = min(_rlimits(ROOT), default=NO_LIMIT)
    return min(alone, min(_machine(ROOT), default=NO_LIMIT) // neighbours)


def watch_peak(device: Device) -> None:
    """From now on; what loading took does not count."""
    if device.is_cuda:
        torch.cuda.reset_peak_memory_stats(device.torch_device)


def tell_peak(device: Device, say: Callable[[str], None]) -> None:
    """A line for the log on the most that was taken of a GPU since then."""
    if not device.is_cuda:
        return
    tensors = torch.cuda.max_memory_allocated(device.torch_device) / 1e6
    held = torch.cuda.max_memory_reserved(device.torch_device) / 1e6
    say(f"memory: tensors took {tensors:.0f} MB at the peak, {held:.0f} MB were held for them")


def release() -> None:
    """Give back what is not in use, so that it can be counted, and used for something larger."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return  # no glibc


def _rlimits(root: Path) -> Iterator[int]:
    """Limits of the process itself, beside what it has taken of them."""
    status = (root / "proc/self/status").read_text()
    for limit, taken in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            yield max(0, most - _kilobytes(status, taken))


def _machine(root: Path) -> Iterator[int]:
    """What the machine can give, and each control group on the way to this process."""
    yield _kilobytes((root / "proc/meminfo").read_text(), "MemAvailable")
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds:
            yield from _groups(root / "sys/fs/cgroup", path, "memory.max", "memory.current")
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _groups(root / "sys/fs/cgroup/memory", path, *names)


def _groups(top: Path, path: str, limit: str, usage: str) -> Iterator[int]:
    """Of the group and those above it; in a container the path may be that of the host, and only the top is there."""
    group = top / path.lstrip("/")
    for folder in (group, *group.parents):
        try:
            most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
            statistics = (folder / "memory.stat").read_text()
        except (OSError, ValueError):
            most, used, statistics = "max", 0, ""
        if most.isdecimal() and int(most) < NO_LIMIT:
            yield max(0, int(most) - used + _file_cache(statistics))
        if folder == top:
            return


def _file_cache(statistics: str) -> int:
    """Pages of files, which the kernel takes back when it needs them."""
    sizes = dict(line.split() for line in statistics.splitlines())
    prefix = "total_" if "total_inactive_file" in sizes else ""
    return sum(int(sizes.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))


def _kilobytes(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else NO_LIMIT
