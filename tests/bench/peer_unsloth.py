"""The same training with Unsloth, asked for its padding-free mode: `peer_unsloth.py MODEL ROWS DTYPE padding_free`.

Without a GPU it turns that mode off, and packing too (2026.10.9: without flash attention it can't keep examples apart),
so on a CPU this measures its padded rows.
"""

import sys

from unsloth import FastLanguageModel

# isort: split
# Unsloth comes first: it changes the libraries below.
import torch
from datasets import load_dataset
from peer_steps import LORA, Steps, training
from trl import SFTConfig, SFTTrainer


def main(model_folder: str, rows_file: str, dtype: str, mode: str) -> None:
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_folder, max_seq_length=1024, load_in_4bit=False, dtype=getattr(torch, dtype)
    )
    model = FastLanguageModel.get_peft_model(model, **LORA, use_gradient_checkpointing=False)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        args=SFTConfig(
            **training(dtype, gradient_checkpointing=False),
            max_length=1024,
            assistant_only_loss=True,
            padding_free=True,
        ),
        train_dataset=load_dataset("json", data_files=rows_file, split="train"),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
