import msgspec

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.resolve import TrainerOptions
from tunegate.sdk.testing.samples import form_body, minimal_body, put, sample_context, train_request
from tunegate_full_finetune import FullFinetuneBackend


def test_adapter_fields_are_reported_and_left_out() -> None:
    job, backend = train_request(form_body("full")), FullFinetuneBackend()
    context = sample_context(job)
    review = backend.review(job, TrainerOptions(), context)
    assert review.problems == []
    assert "$.customization.target_modules" in {entry.path for entry in review.ignored}
    container = backend.build(job, TrainerOptions(), context)
    spec = msgspec.json.decode(container.files[0].content, type=TrainingSpec)
    assert (spec.method, spec.adapter, spec.quantization) == ("full", None, None)
    assert spec.trainable_layers == ["decoder.layers.0"]


def test_8_bit_weights_cant_be_trained() -> None:
    body = minimal_body("full")
    put(body, "customization.precision", "int8")
    job = train_request(body)
    (problem,) = FullFinetuneBackend().review(job, TrainerOptions(), sample_context(job)).problems
    assert problem.path == "$.customization.precision"
