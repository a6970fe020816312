"""`python peer_datasets.py TOKENIZER ROWS CACHE`: chats to token ids and answer masks the way peers do it.

One call of the chat template per row in `datasets.map`; prints the CPU and wall seconds of reading and mapping.
"""

import json
import sys
import time
from typing import Any

from datasets import load_dataset
from datasets.utils.logging import disable_progress_bar
from transformers import AutoTokenizer


def main(tokenizer_folder: str, rows_file: str, cache: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    disable_progress_bar()

    def encode(row: dict[str, Any]) -> dict[str, list[int]]:
        coded = tokenizer.apply_chat_template(
            row["messages"],
            return_dict=True,
            return_assistant_tokens_mask=True,
            truncation=True,
            max_length=2048,
        )
        return {"input_ids": coded["input_ids"], "assistant_masks": coded["assistant_masks"]}

    wall, cpu = time.perf_counter(), time.process_time()
    rows = load_dataset("json", data_files=rows_file, split="train", cache_dir=cache)
    mapped = rows.map(encode, remove_columns=rows.column_names)
    figures = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    figures["tokens"] = sum(map(len, mapped["input_ids"]))
    figures["targets"] = sum(map(sum, mapped["assistant_masks"]))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
