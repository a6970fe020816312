from typing import Any

import msgspec
import pytest

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.resolve import TrainerOptions
from tunegate.sdk.testing.samples import minimal_body, put, sample_context, train_request
from tunegate_huggingface_lora import HuggingfaceLoraBackend


def spec_of(method: str, **customization: Any) -> TrainingSpec:
    body = minimal_body(method)
    for field, value in customization.items():
        put(body, f"customization.{field}", value)
    job, backend = train_request(body), HuggingfaceLoraBackend()
    context = sample_context(job)
    assert backend.review(job, TrainerOptions(), context).problems == []
    container = backend.build(job, TrainerOptions(), context)
    return msgspec.json.decode(container.files[0].content, type=TrainingSpec)


def test_lora_on_8_bit_weights() -> None:
    spec = spec_of("lora", precision="int8", rank=4)
    assert spec.method == "lora"
    assert spec.quantization is not None
    assert spec.quantization.kind == "int8"


@pytest.mark.parametrize("method", ["peft", "adapter"])
@pytest.mark.parametrize(
    ("config", "kind"),
    [({"use_dora": True}, "LORA"), ({"use_rslora": True}, "LORA"), ({"peft_type": "IA3"}, "IA3")],
)
def test_any_adapter_of_peft(method: str, config: dict[str, Any], kind: str) -> None:
    spec = spec_of(method, peft={"use": True, "config": config})
    assert spec.method == "peft"
    assert spec.adapter is not None
    assert spec.adapter.peft_type == kind
    assert spec.adapter.options == {k: v for k, v in config.items() if k != "peft_type"}


def test_an_image_of_the_jobs_own() -> None:
    job = train_request(minimal_body())
    options = TrainerOptions(container_image="acme/trainer:1")
    container = HuggingfaceLoraBackend().build(job, options, sample_context(job))
    assert (container.image, container.image_requested) == ("acme/trainer:1", True)
