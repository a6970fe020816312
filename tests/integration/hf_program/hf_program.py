"""A backend of somebody's own: a program around Hugging Face's Trainer that knows nothing of tunegate."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from tunegate.contract.base import Strict
from tunegate.contract.container import ContainerFile, ContainerSpec
from tunegate.contract.request import TrainRequest
from tunegate.sdk.backend import BackendPlugin, BuildContext, Review
from tunegate.sdk.resolve import resolve_resources

PROGRAM = Path(__file__).with_name("train.py").read_text()


class ProgramOptions(Strict):
    """Keys of `extra_parameters`."""

    steps: int = 60
    seconds_per_step: float = 0.1
    exit_code: int = 0


class ProgramBackend(BackendPlugin[ProgramOptions]):
    name = "hf-program"
    methods = frozenset({"full"})
    options_type = ProgramOptions

    def review(self, job: TrainRequest, options: ProgramOptions, context: BuildContext) -> Review:
        return Review()

    def build(
        self, job: TrainRequest, options: ProgramOptions, context: BuildContext
    ) -> ContainerSpec:
        plan = {
            "output": urlsplit(context.output_uri).path,
            "steps": options.steps,
            "seconds_per_step": options.seconds_per_step,
            "exit_code": options.exit_code,
        }
        return ContainerSpec(
            image="example.org/hf-program:1",
            command=["python", "{files}/train.py", "{files}/plan.json"],
            resources=resolve_resources(job),
            files=[
                ContainerFile(path="train.py", content=PROGRAM),
                ContainerFile(path="plan.json", content=json.dumps(plan)),
            ],
            env={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            labels=context.labels,
            protocol="kubeflow",
        )
