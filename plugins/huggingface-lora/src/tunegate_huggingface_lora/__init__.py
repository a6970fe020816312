"""The `huggingface-lora` backend."""

from tunegate.contract.container import ContainerSpec
from tunegate.contract.request import TrainRequest
from tunegate.sdk.backend import BackendPlugin, BuildContext, Review
from tunegate.sdk.container import trainer_container
from tunegate.sdk.resolve import TrainerOptions, TrainingMethod, resolve_training
from tunegate.sdk.review import review_training


class HuggingfaceLoraBackend(BackendPlugin[TrainerOptions]):
    """LoRA and every other adapter of PEFT, on 16-bit, 32-bit or 8-bit base weights."""

    name = "huggingface-lora"
    description = "LoRA and every other adapter of PEFT, on 16-bit, 32-bit or 8-bit base weights"
    methods = frozenset({"lora", "peft", "adapter"})
    default_for = methods
    options_type = TrainerOptions

    def review(self, job: TrainRequest, options: TrainerOptions, context: BuildContext) -> Review:
        return review_training(
            job,
            options,
            method=_method(job),
            providers=self.providers,
            trainable_layers_advisory=context.trainable_layers_advisory,
        )

    def build(
        self, job: TrainRequest, options: TrainerOptions, context: BuildContext
    ) -> ContainerSpec:
        spec = resolve_training(job, options, context, method=_method(job), backend=self.name)
        return trainer_container(job, spec, options, context)


def _method(job: TrainRequest) -> TrainingMethod:
    """`peft` and `adapter` are one: any type that `peft.config.peft_type` names."""
    return "lora" if job.customization.method == "lora" else "peft"
