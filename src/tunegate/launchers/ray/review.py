"""What this cluster can't give, with JSON paths. Pure."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.launchers.ray.options import RayOptions
from tunegate.launchers.ray.settings import RaySettings

_EXTRA = "$.extra_parameters"


def review_run(
    container: ContainerSpec, options: dict[str, Any], settings: RaySettings
) -> tuple[list[Problem], list[Ignored]]:
    """What is said of resources first, then of options."""
    problems = [*_resources(container, settings), *_options(options, settings)]
    ignored: list[Ignored] = []
    if container.image_requested:
        reason = "this launcher runs programs of the cluster's nodes, not images"
        ignored.append(Ignored(path=f"{_EXTRA}.container_image", reason=reason))
    if container.resources.gpu_type is not None and not container.resources.gpus:
        ignored.append(Ignored(path="$.resources.gpu_type", reason="the job asks for no GPU"))
    return problems, ignored


def _resources(container: ContainerSpec, settings: RaySettings) -> Iterator[Problem]:
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
    asked = wanted.gpu_type if wanted.gpus else None
    if known and asked is not None and asked.lower() not in known:
        message = f"this cluster has GPUs of these types: {', '.join(sorted(settings.gpu_types))}"
        yield Problem(path="$.resources.gpu_type", message=message, code="insufficient_resources")


def _options(options: dict[str, Any], settings: RaySettings) -> Iterator[Problem]:
    try:
        given = msgspec.convert(options, RayOptions)
    except msgspec.ValidationError as error:
        yield Problem(path=_EXTRA, message=str(error), code="invalid_format")
        return
    for key, value in given.node_selector.items():
        if settings.node_selector.get(key, value) != value:
            message = f"{key} is set by the operator"
            yield Problem(path=f"{_EXTRA}.node_selector", message=message, code="not_allowed")
    allowed = settings.custom_resources
    for name in given.custom_resources:
        if allowed is not None and name not in allowed:
            message = f"the operator allows {', '.join(allowed) or 'none'}"
            yield Problem(path=f"{_EXTRA}.custom_resources", message=message, code="not_allowed")
