"""Loss on held-out rows with plain transformers and peft, one row at a time: nothing of tunegate's trainer.

python plain_loss.py MODEL ROWS.jsonl [ADAPTER]  prints the mean loss per answer token.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(model_folder: str, rows_file: str, adapter: str | None = None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(adapter or model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    total, count = 0.0, 0
    for line in Path(rows_file).read_text().splitlines():
        messages = json.loads(line)["messages"]
        prompt = tokenizer.apply_chat_template(
            messages[:1], tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template(messages, tokenize=False).rstrip("\n")
        start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
        labels = ids.clone()
        labels[:, :start] = -100
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss.item()
        total += loss * (ids.shape[1] - start)
        count += ids.shape[1] - start
    print(total / count)


if __name__ == "__main__":
    main(*sys.argv[1:])
