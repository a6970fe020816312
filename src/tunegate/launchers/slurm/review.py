"""What this cluster can't give, with JSON paths. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.launchers.slurm.options import SlurmOptions
from tunegate.launchers.slurm.settings import SlurmSettings

_EXTRA = "$.extra_parameters"


def review_run(
    container: ContainerSpec, options: dict[str, Any], settings: SlurmSettings
) -> tuple[list[Problem], list[Ignored]]:
    """What is said of resources first, then of options."""
    problems = [*_resources(container, settings), *_options(options, settings)]
    ignored: list[Ignored] = []
    if container.image_requested and settings.runtime == "bare":
        reason = "this launcher runs programs of the cluster's nodes, not images"
        ignored.append(Ignored(path=f"{_EXTRA}.container_image", reason=reason))
    if container.resources.gpu_type is not None and not container.resources.gpus:
        ignored.append(Ignored(path="$.resources.gpu_type", reason="the job asks for no GPU"))
    return problems, ignored


def _resources(container: ContainerSpec, settings: SlurmSettings) -> Iterator[Problem]:
    wanted = container.resources
    most = settings.max_nodes
    if most is not None and wanted.nodes > most:
        message = f"this cluster gives a job at most {most} {'node' if most == 1 else 'nodes'}"
        code = "not_supported" if most == 1 else "insufficient_resources"
        yield Problem(path="$.resources.nodes", message=message, code=code)
    have = settings.gpus_per_node
    if have is not None and wanted.gpus > have:
        message = f"the job asks for {wanted.gpus} GPUs per node and this cluster's nodes have {have}"  # fmt: skip
        yield Problem(path="$.resources.gpus", message=message, code="insufficient_resources")
    known = {kind.lower() for kind in settings.gpu_types}
    if wanted.gpus and wanted.gpu_type is not None and wanted.gpu_type.lower() not in known:
        there = ", ".join(sorted(settings.gpu_types)) or "none by name: leave gpu_type out"
        message = f"this cluster has GPUs of these types: {there}"
        yield Problem(path="$.resources.gpu_type", message=message, code="insufficient_resources")


def _options(options: dict[str, Any], settings: SlurmSettings) -> Iterator[Problem]:
    try:
        given = msgspec.convert(options, SlurmOptions)
    except msgspec.ValidationError as error:
        yield Problem(path=_EXTRA, message=str(error), code="invalid_format")
        return
    if given.partition and given.queue and given.partition != given.queue:
        message = "queue and partition are the same thing in Slurm"
        yield Problem(path=f"{_EXTRA}.queue", message=message, code="conflicting_fields")
    for name, allowed in settings.allowed.items():
        asked = [name, "queue"] if name == "partition" else [name]
        for field in asked:
            value = getattr(given, field, None)
            if value is not None and str(value) not in allowed:
                message = f"the operator allows {', '.join(allowed) or 'no value'}"
                yield Problem(path=f"{_EXTRA}.{field}", message=message, code="not_allowed")
