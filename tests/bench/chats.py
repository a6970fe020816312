"""A repeatable data set of chats with a skewed length (mean about 150 tokens), and the model to train on it."""

import json
import random
import subprocess
import sys
from pathlib import Path

WORDS = [
    "account",
    "balance",
    "transfer",
    "limit",
    "review",
    "customer",
    "payment",
    "invoice",
    "amount",
    "currency",
    "branch",
    "report",
    "risk",
    "rule",
    "check",
    "approve",
    "reject",
    "hold",
    "release",
    "source",
    "funds",
    "country",
    "channel",
    "history",
    "contract",
    "date",
    "reason",
    "number",
]


def sentence(chance: random.Random, length: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(length)) + "."


def rows(count: int, seed: int = 5) -> list[dict[str, object]]:
    """Chats of one question and one answer; lengths are log-normal, so that padding hurts as it does in life."""
    chance = random.Random(seed)
    found: list[dict[str, object]] = []
    for _ in range(count):
        words = max(8, min(900, int(chance.lognormvariate(4.5, 0.8))))
        question = sentence(chance, max(3, words * 2 // 5))
        answer = sentence(chance, max(3, words * 3 // 5))
        found.append(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return found


def write_world(
    folder: Path, count: int, hidden: int, layers: int, vocab: int
) -> tuple[Path, Path]:
    """Folder of the base model and the file of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    data, corpus, model = folder / "chats.jsonl", folder / "corpus.txt", folder / "model"
    chats = rows(count)
    data.write_text("".join(json.dumps(row) + "\n" for row in chats))
    corpus.write_text("\n".join(sentence(random.Random(n), 60) for n in range(500)))
    subprocess.run(
        [sys.executable, "-m", "tunegate.trainer.tiny", str(model), "--corpus", str(corpus)]
        + ["--hidden", str(hidden), "--layers", str(layers), "--vocab", str(vocab)],
        check=True,
        capture_output=True,
    )
    return model, data
