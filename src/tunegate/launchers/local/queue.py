"""Who may start now, and what the others wait for. Pure; strictly in order, so that a large run is never starved."""

from collections.abc import Iterable, Sequence

from tunegate.contract.base import Wire
from tunegate.launchers.local.fit import Demand, count
from tunegate.launchers.local.machine import Machine

_GB = 2**30


class Grant(Wire):
    """What a started run holds."""

    gpu_ids: list[str]
    cpus: int
    memory_bytes: int


class Plan(Wire):
    """Runs to start with their grants, and what the first of the others lacks."""

    starts: dict[str, Grant] = {}
    lack: str = ""


def plan(waiting: Iterable[tuple[str, Demand]], held: Sequence[Grant], machine: Machine) -> Plan:
    """`waiting` in the order of submission; only those that start and the one behind them are looked at."""
    starts: dict[str, Grant] = {}
    holding = list(held)
    for name, demand in waiting:
        free = _free(holding, machine)
        lack = _lack(demand, free)
        if lack:
            return Plan(starts=starts, lack=lack)
        taken = Grant(
            gpu_ids=free.gpu_ids[: demand.gpus], cpus=demand.cpus, memory_bytes=demand.memory_bytes
        )
        starts[name] = taken
        holding.append(taken)
    return Plan(starts=starts)


def sentence(lack: str, ahead: int) -> str:
    """Why a run has not started that has so many ahead of it."""
    return f"waits for its turn; {ahead} ahead" if ahead else f"waits for {lack or 'its turn'}"


def _free(holding: Sequence[Grant], machine: Machine) -> Grant:
    taken = {gpu for grant in holding for gpu in grant.gpu_ids}
    return Grant(
        gpu_ids=[gpu for gpu in machine.gpu_ids if gpu not in taken],
        cpus=machine.cpus - sum(grant.cpus for grant in holding),
        memory_bytes=machine.memory_bytes - sum(grant.memory_bytes for grant in holding),
    )


def _lack(demand: Demand, free: Grant) -> str:
    lacks: list[str] = []
    if demand.gpus > len(free.gpu_ids):
        lacks.append(count(demand.gpus - len(free.gpu_ids), "GPU"))
    if demand.cpus > free.cpus:
        lacks.append(count(demand.cpus - free.cpus, "CPU"))
    if demand.memory_bytes > free.memory_bytes:
        missing = -(-(demand.memory_bytes - free.memory_bytes) // _GB)
        lacks.append(f"{missing} GB of memory")
    return " and ".join(lacks)
