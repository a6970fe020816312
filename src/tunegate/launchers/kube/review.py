"""What a cluster can't give a job, as far as the operator's settings tell. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.pod import nodes_of_type
from tunegate.launchers.kube.settings import KubeSettings


def pod_options(options: Mapping[str, Any]) -> PodOptions:
    """The checked options of a run as values."""
    return msgspec.convert(options, PodOptions)


def review_pod(
    container: ContainerSpec, options: PodOptions, settings: KubeSettings
) -> tuple[list[Problem], list[Ignored]]:
    """Problems and what will have no effect, each with the JSON path of its field."""
    problems = [*_resources(container, settings), *_options(options, settings)]
    return problems, list(_ignored(container, settings))


def _resources(container: ContainerSpec, settings: KubeSettings) -> Iterator[Problem]:
    wanted, most = container.resources, settings.gpus_per_node
    if most is not None and wanted.gpus > most:
        message = f"the job asks for {wanted.gpus} GPUs per node and the nodes have at most {most}"
        yield Problem(path="$.resources.gpus", message=message, code="insufficient_resources")
    typed = wanted.gpus and wanted.gpu_type is not None and settings.gpu_types
    if typed and nodes_of_type(wanted.gpu_type, settings) is None:
        message = f"this cluster has {_listed(settings.gpu_types)}"
        yield Problem(path="$.resources.gpu_type", message=message, code="insufficient_resources")


def _options(options: PodOptions, settings: KubeSettings) -> Iterator[Problem]:
    queues = settings.queues
    if options.queue is not None and queues is not None and options.queue not in queues:
        yield _not_allowed("queue", f"the queues are {_listed(queues)}")
    if options.priority is not None and options.priority not in settings.priorities:
        yield _not_allowed("priority", f"the priorities are {_listed(settings.priorities)}")
    for key, label in options.node_selector.items():
        if settings.node_selector.get(key, label) != label:
            yield _not_allowed("node_selector", f"{key} is set by the operator")
    for one in options.tolerations:
        if one.key not in settings.tolerable_taints:
            there = _listed(settings.tolerable_taints)
            yield _not_allowed("tolerations", f"the taints that may be tolerated are {there}")


def _ignored(container: ContainerSpec, settings: KubeSettings) -> Iterator[Ignored]:
    wanted = container.resources
    if wanted.gpu_type is None:
        return
    if not wanted.gpus:
        yield Ignored(path="$.resources.gpu_type", reason="the job asks for no GPU")
    elif not settings.gpu_types:
        reason = "the operator has not said which nodes have which GPUs: any will do"
        yield Ignored(path="$.resources.gpu_type", reason=reason)


def _not_allowed(option: str, message: str) -> Problem:
    return Problem(path=f"$.extra_parameters.{option}", message=message, code="not_allowed")


def _listed(names: Mapping[str, Any] | list[str]) -> str:
    return ", ".join(sorted(names)) or "none"
