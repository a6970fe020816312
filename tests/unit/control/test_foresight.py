"""Notes on memory when a job is submitted, from the model's name alone."""

import msgspec
import pytest

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.training import (
    AdapterPlan,
    DataSource,
    ModelSource,
    OutputPlan,
    TrainingSpec,
)
from tunegate.control import foresight
from tunegate.control.foresight import foreseen

FULL = TrainingSpec(
    job_id="j",
    method="full",
    model=ModelSource(name="m"),
    datasets=[DataSource(source="s3://b/x")],
    output=OutputPlan(output_uri="s3://b/o/"),
)
LORA = msgspec.structs.replace(FULL, method="lora", adapter=AdapterPlan())


def container(
    spec: TrainingSpec, gpu_type: str | None = "A100-80GB", gpus: int = 1
) -> ContainerSpec:
    content = msgspec.json.encode(spec).decode()
    return ContainerSpec(
        image="trainer",
        command=[],
        resources=ResourceRequest(gpus=gpus, gpu_type=gpu_type),
        files=[ContainerFile(path="job.json", content=content)],
    )


def test_what_is_too_large_is_told() -> None:
    [note] = foreseen(container(FULL), "meta-llama/Llama-3-8B")
    assert "GB of memory are foreseen at the peak and 80 GB are there" in note
    assert "the model's name, a guess" in note


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (container(LORA), "meta-llama/Llama-3-8B"),
        (container(FULL), "Qwen/Qwen2.5-0.5B"),
        (container(FULL, gpus=8), "meta-llama/Llama-3-8B"),
        (container(FULL), "org/nameless"),
        (container(FULL, gpu_type="unheard of"), "meta-llama/Llama-3-8B"),
    ],
)
def test_what_fits_or_is_not_known_is_not_told(what: ContainerSpec, name: str) -> None:
    assert foreseen(what, name) == []


def test_small_models_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "training_spec", lambda _: pytest.fail("it was decoded"))
    assert foreseen(container(FULL), "Qwen/Qwen2.5-0.5B") == []


def test_other_backends_have_no_job_file() -> None:
    plain = msgspec.structs.replace(container(FULL), files=[])
    assert foreseen(plain, "meta-llama/Llama-3-8B") == []
