"""How a job's wishes fit this machine. Pure."""

from collections.abc import Iterator

from tunegate.contract.base import Wire
from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.problems import Ignored, Problem
from tunegate.launchers.local.machine import Machine

_GB = 2**30


class Demand(Wire):
    """What a run takes of the machine while it lives."""

    gpus: int
    cpus: int
    memory_bytes: int


def demand_of(wanted: ResourceRequest, machine: Machine) -> Demand:
    """The wishes, cut to what there is."""
    return Demand(
        gpus=min(wanted.gpus, len(machine.gpu_ids)),
        cpus=min(wanted.cpus, machine.cpus),
        memory_bytes=min(wanted.memory_bytes, machine.memory_bytes),
    )


def review_container(
    container: ContainerSpec, machine: Machine, *, cpu_fallback: bool
) -> tuple[list[Problem], list[Ignored]]:
    """What can't be given: problems, or with `cpu_fallback` fields without effect."""
    problems, ignored = review_resources(container.resources, machine, cpu_fallback=cpu_fallback)
    if container.image_requested:
        reason = "this launcher runs processes of this machine, not images"
        ignored.append(Ignored(path="$.extra_parameters.container_image", reason=reason))
    return problems, ignored


def review_resources(
    wanted: ResourceRequest, machine: Machine, *, cpu_fallback: bool
) -> tuple[list[Problem], list[Ignored]]:
    """What is said of `resources`, for every launcher that has one machine.

    Processors and memory that nobody asked for are cut to what there is without a word.
    """
    problems: list[Problem] = []
    ignored: list[Ignored] = []
    if wanted.nodes > 1:
        message = "this launcher has one machine: set nodes to 1 or choose another launcher"
        problems.append(Problem(path="$.resources.nodes", message=message, code="not_supported"))
    for field, sentence in _lacks(wanted, machine):
        path = f"$.resources.{field}"
        if cpu_fallback:
            ignored.append(
                Ignored(path=path, reason=f"{sentence}; the job runs with what there is")
            )
        else:
            problems.append(Problem(path=path, message=sentence, code="insufficient_resources"))
    if wanted.gpu_type is not None and not wanted.gpus:
        ignored.append(Ignored(path="$.resources.gpu_type", reason="the job asks for no GPU"))
    return problems, ignored


def _lacks(wanted: ResourceRequest, machine: Machine) -> Iterator[tuple[str, str]]:
    have = len(machine.gpu_ids)
    if wanted.gpus > have:
        there = "no GPU" if not have else f"only {have}"
        yield "gpus", f"the job asks for {count(wanted.gpus, 'GPU')} and this machine has {there}"
    if wanted.gpus and wanted.gpu_type is not None and not _is_type(wanted.gpu_type, machine):
        there = (machine.gpu_type or "GPUs of a type that is not known") if have else "no GPU"
        yield "gpu_type", f"this machine has {there}"
    if wanted.cpus > machine.cpus and "cpus" not in wanted.defaulted:
        yield (
            "cpus",
            f"the job asks for {count(wanted.cpus, 'CPU')} and this machine has {machine.cpus}",
        )
    if wanted.memory_bytes > machine.memory_bytes and "memory_gb" not in wanted.defaulted:
        asked, there = wanted.memory_bytes // _GB, machine.memory_bytes / _GB
        yield "memory_gb", f"the job asks for {asked} GB and this machine has {there:.0f}"


def _is_type(wanted: str, machine: Machine) -> bool:
    """`A100` is what a user writes, `NVIDIA A100-SXM4-80GB` what the driver says."""
    return bool(machine.gpu_ids) and wanted.lower() in (machine.gpu_type or "").lower()


def count(number: int, what: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
