"""The `qlora` backend."""

from tunegate.contract.container import ContainerSpec
from tunegate.contract.request import TrainRequest
from tunegate.sdk.backend import BackendPlugin, BuildContext, Review
from tunegate.sdk.container import trainer_container
from tunegate.sdk.resolve import TrainerOptions, resolve_training
from tunegate.sdk.review import review_training

METHOD = "qlora"


class QloraBackend(BackendPlugin[TrainerOptions]):
    """LoRA on base weights in 4 bits (bitsandbytes NF4 or FP4)."""

    name = "qlora"
    description = "LoRA on base weights in 4 bits (bitsandbytes NF4 or FP4)"
    methods = frozenset({"qlora"})
    default_for = methods
    options_type = TrainerOptions

    def review(self, job: TrainRequest, options: TrainerOptions, context: BuildContext) -> Review:
        return review_training(
            job,
            options,
            method=METHOD,
            providers=self.providers,
            trainable_layers_advisory=context.trainable_layers_advisory,
        )

    def build(
        self, job: TrainRequest, options: TrainerOptions, context: BuildContext
    ) -> ContainerSpec:
        spec = resolve_training(job, options, context, method=METHOD, backend=self.name)
        return trainer_container(job, spec, options, context)
