"""The container spec that runs the shared trainer on a job.json."""

import msgspec

from tunegate.contract.container import ContainerFile, ContainerSpec
from tunegate.contract.request import TrainRequest
from tunegate.contract.training import TrainingSpec
from tunegate.sdk.backend import BuildContext
from tunegate.sdk.resolve import TrainerOptions, resolve_resources

TRAINER = ("python", "-m", "tunegate.trainer", "{files}/job.json")


def trainer_container(
    job: TrainRequest, spec: TrainingSpec, options: TrainerOptions, context: BuildContext
) -> ContainerSpec:
    """One trainer per node, with `spec` as its job.json."""
    content = msgspec.json.format(msgspec.json.encode(spec, order="sorted"), indent=2).decode()
    return ContainerSpec(
        image=options.container_image or context.trainer_image,
        image_requested=options.container_image is not None,
        command=list(TRAINER),
        resources=resolve_resources(job),
        files=[ContainerFile(path="job.json", content=content)],
        env={"PYTHONUNBUFFERED": "1"},
        labels={
            **context.labels,
            "tunegate.backend": spec.backend,
            "tunegate.method": spec.method,
        },
    )
