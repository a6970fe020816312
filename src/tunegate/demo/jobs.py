"""The three jobs: the canonical request with the demo's model, sizes and addresses in place of its own."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

USER, PROJECT = "e468b458-c061-70ca-966f-bb439ffde5e3", "6925ccd958905b1e58631d2c"


@dataclass(frozen=True)
class Places:
    """Where the demo keeps things. `project` is the launcher's own layout of a bucket."""

    bucket: str
    role_arn: str
    webhook_url: str
    stream_url: str
    webhook_authorization: str

    @property
    def project(self) -> str:
        return f"s3://{self.bucket}/users/{USER}/projects/{PROJECT}"

    def data(self, name: str) -> str:
        return f"{self.project}/ingestion/{name}.jsonl"

    @property
    def base_model(self) -> str:
        return f"s3://{self.bucket}/models/demo-llama/"

    @property
    def results(self) -> str:
        return f"{self.project}/results/"

    def result(self, job_id: str) -> str:
        return f"{self.results}{job_id}/"


@dataclass(frozen=True)
class Lesson:
    """One job of the demo. `learning_rate` and `num_epochs` suit a model of half a million parameters."""

    method: str
    data: str
    learning_rate: float
    batch_size: int
    num_epochs: int
    starts_from: str | None
    """Name of the lesson whose result is the base; None = the untrained model."""

    @property
    def job_id(self) -> str:
        return f"demo-{self.method}"


LESSONS = (
    Lesson("full", "payments", 3e-3, 32, 2, None),
    Lesson("lora", "desk", 5e-3, 32, 4, "full"),
    Lesson("qlora", "desk", 5e-3, 32, 4, "full"),
)


def request(lesson: Lesson, places: Places) -> dict[str, Any]:
    """The body of `POST /train` for one lesson; nothing of the canonical request is dropped."""
    body = json.loads((files("tunegate.http") / "examples" / "canonical.json").read_text())
    base = places.result(f"demo-{lesson.starts_from}") if lesson.starts_from else places.base_model
    body["job_id"] = lesson.job_id
    body["base_model"] |= {"model_name": "demo/demo-llama", "weights_url": base}
    body["customization"]["method"] = lesson.method
    body["datasets"][0] |= {
        "source": places.data(lesson.data),
        "auth": {"role_arn": places.role_arn},
    }
    body["artifacts"] |= {
        "log_uri": f"{places.project}/logs/{lesson.job_id}/",
        "output_uri": places.results,
        "status_stream_url": places.stream_url,
    }
    body["tuning_parameters"] |= {
        "learning_rate": lesson.learning_rate,
        "batch_size": lesson.batch_size,
        "num_epochs": lesson.num_epochs,
        "max_sequence_length": 128,
    }
    body["callbacks"] |= {
        "webhook_url": places.webhook_url,
        "auth_header": places.webhook_authorization,
    }
    return body
