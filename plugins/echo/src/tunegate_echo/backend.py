"""The `echo` backend: a plugin need not be longer."""

import msgspec

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerFile, ContainerSpec
from tunegate.contract.problems import Ignored
from tunegate.contract.request import TrainRequest
from tunegate.sdk.backend import BackendPlugin, BuildContext, Review
from tunegate.sdk.resolve import resolve_resources


class EchoOptions(Strict):
    """Keys of `extra_parameters`: how long to pretend, and how to end."""

    steps: int = 3
    seconds_per_step: float = 0.0
    exit_code: int = 0
    fail_code: str | None = None


class EchoBackend(BackendPlugin[EchoOptions]):
    name = "echo"
    description = "Trains nothing, but says all that a trainer says"
    methods = frozenset({"lora", "qlora", "full"})
    options_type = EchoOptions

    def review(self, job: TrainRequest, options: EchoOptions, context: BuildContext) -> Review:
        fields = ("base_model", "customization", "datasets", "tuning_parameters")
        unused = [field for field in fields if getattr(job, field) is not None]
        if job.artifacts.log_uri is not None:
            unused.append("artifacts.log_uri")
        return Review(
            ignored=[Ignored(path=f"$.{f}", reason="echo trains nothing") for f in unused]
        )

    def build(
        self, job: TrainRequest, options: EchoOptions, context: BuildContext
    ) -> ContainerSpec:
        plan = {"job_id": job.job_id, "output_uri": context.output_uri, "options": options}
        return ContainerSpec(
            image=context.trainer_image,
            command=["python", "-m", "tunegate_echo", "{files}/job.json"],
            resources=resolve_resources(job),
            files=[ContainerFile(path="job.json", content=msgspec.json.encode(plan).decode())],
            labels=context.labels,
        )
