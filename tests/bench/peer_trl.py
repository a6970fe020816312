"""The same training with TRL: `peer_trl.py MODEL ROWS DTYPE packing|packing_pairs|default`.

`packing` takes one row of 1024 tokens per step, about the tokens of eight chats, so that there are as many steps;
`packing_pairs` takes two, half the steps. Both without gradient checkpointing. `default` is what SFTConfig does when
left alone, but for fp32.
"""

import sys

from datasets import load_dataset
from peer_steps import LORA, Steps, training
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

PACKING = {"packing": True, "gradient_checkpointing": False}
MODES = {
    "packing": PACKING | {"per_device_train_batch_size": 1},
    "packing_pairs": PACKING | {"per_device_train_batch_size": 2},
    "default": {},
}


def main(model_folder: str, rows_file: str, dtype: str, mode: str) -> None:
    settings = training(dtype) | MODES[mode]
    trainer = SFTTrainer(
        model=model_folder,
        args=SFTConfig(
            **settings,
            max_length=1024,
            assistant_only_loss=True,
            model_init_kwargs={"dtype": dtype},
        ),
        train_dataset=load_dataset("json", data_files=rows_file, split="train"),
        peft_config=LoraConfig(**LORA, task_type="CAUSAL_LM"),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:])
