"""Trains a tiny model with Hugging Face's Trainer. Nothing here names tunegate or Kubeflow."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

plan = json.loads(Path(sys.argv[1]).read_text())


class Slowly(TrainerCallback):
    """Gives the job some length."""

    def on_step_end(self, *_: Any, **__: Any) -> None:
        time.sleep(plan["seconds_per_step"])


class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """The same sentence again and again: the loss must fall."""

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.arange(16) % 8
        return {"input_ids": ids, "labels": ids}


config = GPT2Config(vocab_size=16, n_positions=16, n_embd=16, n_layer=1, n_head=1)
trainer = Trainer(
    model=GPT2LMHeadModel(config),
    args=TrainingArguments(
        output_dir="scratch",
        max_steps=plan["steps"],
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        logging_steps=5,
        save_strategy="no",
        use_cpu=True,
    ),
    train_dataset=Rows(),
    callbacks=[Slowly()],
)
trainer.train()
if plan["exit_code"]:
    sys.exit(plan["exit_code"])
trainer.save_model(plan["output"])
