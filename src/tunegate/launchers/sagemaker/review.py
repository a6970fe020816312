"""What a job wants that SageMaker can't give. Pure."""

from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.training import TrainingSpec
from tunegate.launchers.sagemaker.instances import choose
from tunegate.launchers.sagemaker.options import SageMakerOptions
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.sdk.addresses import scheme_of


def review_container(
    container: ContainerSpec, options: dict[str, Any], settings: SageMakerSettings
) -> tuple[list[Problem], list[Ignored]]:
    """Problems and fields without effect."""
    problems: list[Problem] = []
    ignored: list[Ignored] = []
    chosen = choose(container, msgspec.convert(options, SageMakerOptions), settings)
    if isinstance(chosen, Problem):
        problems.append(chosen)
    if container.resources.gpu_type is not None and not container.resources.gpus:
        ignored.append(Ignored(path="$.resources.gpu_type", reason="the job asks for no GPU"))
    for path, address in _addresses(container):
        if scheme_of(address) in (None, "", "file"):
            message = (
                "Training jobs of SageMaker see no files of this machine: give an s3:// address."
            )
            problems.append(Problem(path=path, message=message, code="not_supported"))
    return problems, ignored


def _addresses(container: ContainerSpec) -> list[tuple[str, str]]:
    """JSON path and address of what the trainer's own job reads and writes; another program's are not known."""
    content = next((file.content for file in container.files if file.path == "job.json"), "")
    try:
        spec = msgspec.json.decode(content, type=TrainingSpec)
    except msgspec.DecodeError:
        return []
    sources = [
        (f"$.datasets[{index}].source", one.source)
        for index, one in enumerate(spec.datasets)
        if one.format != "hf"
    ]
    return [*sources, ("$.artifacts.output_uri", spec.output.output_uri)]
