"""`python -m tunegate.trainer.generate MODEL [--adapter DIR] [--eval FILE] PROMPT…`: answers, and loss, as JSON.

Plain transformers and peft, so that a result can be judged apart from the program that made it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tunegate.contract.training import TuningPlan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tunegate.trainer.generate")
    parser.add_argument("model", type=Path, help="folder of a model in Hugging Face format")
    parser.add_argument("prompts", nargs="*", help="questions of a user")
    parser.add_argument("--adapter", type=Path, help="folder of a PEFT adapter")
    parser.add_argument("--eval", type=Path, help="JSONL file of rows to take the loss on")
    parser.add_argument("--new-tokens", type=int, default=64, help="longest answer")
    arguments = parser.parse_intermixed_args()
    tokenizer, model = load(arguments.model, arguments.adapter)
    result: dict[str, Any] = {
        "answers": [answer(model, tokenizer, p, arguments.new_tokens) for p in arguments.prompts]
    }
    if arguments.eval:
        result["loss"] = loss_on(model, tokenizer, arguments.eval)
    json.dump(result, sys.stdout)
    print()
    return 0


def load(folder: Path, adapter: Path | None) -> tuple[Any, Any]:
    """Tokenizer and model in fp32, the adapter on top."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(adapter or folder, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return tokenizer, model.eval()


def answer(model: Any, tokenizer: Any, prompt: str, new_tokens: int) -> str:
    """The model's greedy answer to one user message."""
    import torch

    messages = [{"role": "user", "content": prompt}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        out = model.generate(**ids, max_new_tokens=new_tokens, do_sample=False)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def loss_on(model: Any, tokenizer: Any, file: Path) -> float:
    """Mean loss per target token, one example at a time."""
    import torch

    from tunegate.trainer.data import LocalFile, LocalSource, prepare
    from tunegate.trainer.data.packing import pack

    described = LocalFile(path=file, name=file.name, size_bytes=file.stat().st_size, sha256="")
    source = LocalSource(
        source=str(file), format="auto", split=None, weight=1.0, streaming=False, files=[described]
    )
    tuning = TuningPlan(held_out_fraction=0.0)
    store = prepare([source], tuning, tokenizer, lambda _: None).train
    total, count = 0.0, 0
    for index in range(len(store)):
        batch = pack(store, [index])
        if batch.num_targets:
            ids, labels = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.labels)
            with torch.no_grad():
                total += model(input_ids=ids, labels=labels).loss.item() * batch.num_targets
            count += batch.num_targets
    return total / count


if __name__ == "__main__":
    sys.exit(main())
