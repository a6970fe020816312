"""The same training with LLaMA-Factory's defaults: `peer_llamafactory.py MODEL ROWS DTYPE default`."""

import json
import sys
from pathlib import Path

from llamafactory.train.tuner import run_exp
from peer_steps import Steps, training

SHAPE = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    },
}


def main(model_folder: str, rows_file: str, dtype: str, mode: str) -> None:
    shape = {"chats": SHAPE | {"file_name": str(Path(rows_file).resolve())}}
    Path("dataset_info.json").write_text(json.dumps(shape))
    settings = training(
        dtype, stage="sft", do_train=True, model_name_or_path=model_folder, dataset="chats",
        dataset_dir=".", template="chatml", finetuning_type="lora", lora_target="all", lora_rank=16,
        lora_alpha=32, cutoff_len=1024, report_to="none", pure_bf16=dtype == "bfloat16",
    )  # fmt: skip
    run_exp(settings, callbacks=[Steps()])


if __name__ == "__main__":
    main(*sys.argv[1:])
