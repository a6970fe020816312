"""What this machine has to give."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tunegate.contract.base import Wire
from tunegate.launchers.local.settings import LocalSettings

_CGROUP_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


class Machine(Wire):
    """`gpu_ids` are values of CUDA_VISIBLE_DEVICES."""

    gpu_ids: list[str]
    gpu_type: str | None
    cpus: int
    memory_bytes: int


def look(settings: LocalSettings, env: Mapping[str, str], root: Path = Path("/")) -> Machine:
    """The machine as the operator describes it, and as it is where he does not."""
    return Machine(
        gpu_ids=_gpu_ids(settings.gpus, env.get("CUDA_VISIBLE_DEVICES"), root),
        gpu_type=settings.gpu_type or _gpu_model(root),
        cpus=settings.cpus or len(os.sched_getaffinity(0)),
        memory_bytes=settings.memory_gb * 2**30 if settings.memory_gb else _memory_bytes(root),
    )


def _gpu_ids(configured: int | None, visible: str | None, root: Path) -> list[str]:
    if visible is not None:
        ids = [name.strip() for name in visible.split(",") if name.strip()]
        ids = [] if "-1" in ids else ids
    else:
        dev = root / "dev"
        devices = [entry for entry in dev.glob("nvidia*") if re.fullmatch(r"nvidia\d+", entry.name)]
        ids = [str(index) for index in range(len(devices))]
    if configured is None:
        return ids
    return ids[:configured] if len(ids) >= configured else [str(n) for n in range(configured)]


def _gpu_model(root: Path) -> str | None:
    for information in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            found = re.search(r"^Model:\s*(.+?)\s*$", information.read_text(), re.MULTILINE)
            if found:
                return found[1]
    return None


def _memory_bytes(root: Path) -> int:
    total = re.search(r"^MemTotal:\s*(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    amounts = [int(total[1]) * 1024] if total else []
    for limit in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            amounts.append(int((root / limit).read_text()))
    return min(amounts)
