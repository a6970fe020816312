"""A repeatable data set of chats with a skewed length (mean about 150 tokens), and the model to train on it."""

import json
import random
import subprocess
import sys
from pathlib import Path

SYLLABLES = [first + second for first in "bcdfghklmnprstvz" for second in "aeiou"]
LEXICON = 12_000
"""Words there are: enough that a vocabulary of 16k tokens fills."""
SUPERVISED = 0.6
"""Share of the tokens that are the answers', which alone are scored."""
MIDDLE_WORDS, SPREAD = 53, 0.9
"""Median and log-normal spread of a chat's length; with a 4k vocabulary the mean is about 150 tokens."""


def words(chance: random.Random, count: int) -> list[str]:
    """Made-up words, the short ones frequent, as in any language."""
    found = list[str]()
    for _ in range(count):
        number = int(LEXICON ** chance.random()) * 7919
        letters = list[str]()
        while number:
            number, which = divmod(number, len(SYLLABLES))
            letters.append(SYLLABLES[which])
        found.append("".join(letters))
    return found


def sentence(chance: random.Random, length: int) -> str:
    return " ".join(words(chance, length)) + "."


def rows(count: int, seed: int = 5, middle_words: int = MIDDLE_WORDS) -> list[dict[str, object]]:
    """Chats of one question and one answer; lengths are log-normal, so that padding hurts as it does in life."""
    chance = random.Random(seed)
    found: list[dict[str, object]] = []
    for _ in range(count):
        length = min(
            10 * middle_words, max(6, int(middle_words * chance.lognormvariate(0, SPREAD)))
        )
        question = sentence(chance, max(2, length // 3))
        answer = sentence(chance, max(3, length - length // 3))
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
    model, data = write_model(folder / "model", hidden, layers, vocab), folder / "chats.jsonl"
    write_rows(data, rows(count))
    return model, data


def write_model(folder: Path, hidden: int, layers: int, vocab: int) -> Path:
    """A Llama of these sizes with random weights, and a tokenizer trained on the same kind of text."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder.parent / f"{folder.name}.txt"
    corpus.write_text("\n".join(sentence(random.Random(n), 60) for n in range(3000)))
    subprocess.run(
        [sys.executable, "-m", "tunegate.trainer.tiny", str(folder), "--corpus", str(corpus)]
        + ["--hidden", str(hidden), "--layers", str(layers), "--vocab", str(vocab)],
        check=True,
        capture_output=True,
    )
    return folder


def write_rows(file: Path, chats: list[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in chats))
