"""The same training with transformers' own Trainer: `python peer_transformers.py MODEL ROWS STEPS [flatten]`.

LoRA r=16 on all linear layers, loss on answers only, batch 8, AdamW, constant rate. Prints "step 1" after the first
optimizer step and "tokens N" (real, unpadded) at the end.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)


class FirstStep(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            print("step 1", flush=True)


def encode(tokenizer: Any, row: dict[str, Any]) -> dict[str, list[int]]:
    coded = tokenizer.apply_chat_template(
        row["messages"],
        return_dict=True,
        return_assistant_tokens_mask=True,
        truncation=True,
        max_length=1024,
    )
    ids = coded["input_ids"]
    labels = [i if m else -100 for i, m in zip(ids, coded["assistant_masks"], strict=True)]
    return {"input_ids": ids, "labels": labels}


def main(model_folder: str, rows_file: str, steps: int, flatten: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    examples = [
        encode(tokenizer, json.loads(line)) for line in Path(rows_file).read_text().splitlines()
    ]
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    collator = DataCollatorWithFlattening() if flatten else DataCollatorForSeq2Seq(tokenizer)
    seen: list[int] = []

    def collate(batch: list[dict[str, list[int]]]) -> Any:
        seen.extend(len(one["input_ids"]) for one in batch)
        return collator(batch)

    arguments = TrainingArguments(
        output_dir="/tmp/unused", max_steps=steps, per_device_train_batch_size=8, learning_rate=2e-4,
        lr_scheduler_type="constant", logging_steps=1, report_to=[], save_strategy="no", use_cpu=True,
        remove_unused_columns=False, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=collate,
        callbacks=[FirstStep()],
    )
    trainer.train()
    print("tokens", sum(seen[: steps * 8]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "flatten" in sys.argv)
