"""The GPU bench's training with TRL: `peer_trl_gpu.py MODEL ROWS lora|qlora cuda|cpu LENGTH STEPS_OF_ROWS ATTENTION`.

Rows packed to LENGTH (best fit, without crossing texts). No gradient checkpointing, bf16, liger-kernel where it is
installed.
"""

import sys
from importlib.util import find_spec
from typing import Any

import torch
from datasets import load_dataset
from peer_steps import LORA, Steps, training
from peft import LoraConfig
from transformers import BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer


def main(
    model_folder: str,
    rows_file: str,
    method: str,
    device: str,
    length: str,
    rows: str,
    attention: str,
) -> None:
    on_cpu = device == "cpu"
    loading: dict[str, Any] = {"dtype": "bfloat16", "attn_implementation": attention}
    if method == "qlora":
        loading["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
    others = {
        "use_cpu": on_cpu, "bf16": True, "packing": True, "gradient_checkpointing": False,
        "per_device_train_batch_size": int(rows), "max_length": int(length),
        "assistant_only_loss": True, "model_init_kwargs": loading,
        "use_liger_kernel": find_spec("liger_kernel") is not None and not on_cpu,
    }  # fmt: skip
    trainer = SFTTrainer(
        model=model_folder,
        args=SFTConfig(**(training("bfloat16") | others)),
        train_dataset=load_dataset("json", data_files=rows_file, split="train"),
        peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
