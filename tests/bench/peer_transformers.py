"""The same training with transformers' own Trainer: `peer_transformers.py MODEL ROWS DTYPE padding|flattening`."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peer_steps import LORA, Steps, training
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    Trainer,
    TrainingArguments,
)


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


def main(model_folder: str, rows_file: str, dtype: str, mode: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    examples = [
        encode(tokenizer, json.loads(line)) for line in Path(rows_file).read_text().splitlines()
    ]
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=getattr(torch, dtype))
    flatten = mode == "flattening"
    trainer = Trainer(
        model=get_peft_model(model, LoraConfig(**LORA, task_type="CAUSAL_LM")),
        args=TrainingArguments(**training(dtype, remove_unused_columns=False)),
        train_dataset=examples,
        data_collator=DataCollatorWithFlattening()
        if flatten
        else DataCollatorForSeq2Seq(tokenizer),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
