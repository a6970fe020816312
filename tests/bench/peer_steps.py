"""What all peers share: the count of real tokens, a line after every optimizer step, and the adapter's settings."""

from typing import Any

from transformers import TrainerCallback

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": LINEARS}


def training(dtype: str, **others: Any) -> dict[str, Any]:
    """Training arguments that are the same for all: one pass over the rows in batches of eight, no checkpoints."""
    return {
        "output_dir": "unused", "num_train_epochs": 1, "per_device_train_batch_size": 8,
        "learning_rate": 2e-4, "lr_scheduler_type": "constant", "logging_steps": 1, "report_to": [],
        "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "bf16": False, **others,
    }  # fmt: skip


class Steps(TrainerCallback):
    """Prints "step N: T tokens" after each step, T counted from the start and without padding.

    The loader is one batch ahead of the step, so the counts of the batches are kept apart.
    """

    def __init__(self) -> None:
        self.counts = list[int]()

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, train_dataloader: Any = None, **others: Any
    ) -> None:
        loader = getattr(train_dataloader, "base_dataloader", train_dataloader)
        collate = loader.collate_fn

        def counted(examples: Any) -> Any:
            batch = collate(examples)
            mask = batch.get("attention_mask")
            self.counts.append(int(batch["input_ids"].numel() if mask is None else mask.sum()))
            return batch

        loader.collate_fn = counted

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        print(
            f"step {state.global_step}: {sum(self.counts[: state.global_step])} tokens", flush=True
        )
