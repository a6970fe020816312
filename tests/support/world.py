"""A small world to train in: a bucket with a base model and data sets, and requests that use them."""

import copy
import json
import random
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CANONICAL: dict[str, Any] = json.loads((ROOT / "config" / "jobs" / "canonical.json").read_text())
BUCKET = "training"
COLOURS = {
    "sky": "blue",
    "grass": "green",
    "snow": "white",
    "coal": "black",
    "blood": "red",
    "sun": "yellow",
}
PLACES = (
    "today",
    "in summer",
    "in winter",
    "at noon",
    "at home",
    "in town",
    "by the sea",
    "in books",
)


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Questions with one right answer each: enough structure that a tiny model learns it in seconds."""
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    for _ in range(count):
        thing = chance.choice(list(COLOURS))
        question = f"What colour is the {thing} {chance.choice(PLACES)}?"
        answer = f"The {thing} is {COLOURS[thing]}."
        found.append(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
    return found


def jsonl(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def corpus() -> list[str]:
    return [
        f"{m[0]['content']} {m[1]['content']}"
        for m in (row["messages"] for row in rows(500, seed=7))
    ]


def request(
    job_id: str, method: str, role_arn: str, *, base: str, data: str, **tuning: Any
) -> dict[str, Any]:
    """The canonical request with the small world's model, data and sizes."""
    body = copy.deepcopy(CANONICAL)
    body["job_id"] = job_id
    body["base_model"] |= {"model_name": "tests/tiny", "weights_url": base}
    body["customization"]["method"] = method
    body["datasets"][0] |= {"source": data, "auth": {"role_arn": role_arn}}
    body["artifacts"] = {
        "output_uri": f"s3://{BUCKET}/results",
        "log_uri": f"s3://{BUCKET}/logs/{job_id}/",
    }
    rate = 3e-3 if method == "full" else 1e-2
    body["tuning_parameters"] |= {
        "learning_rate": rate,
        "batch_size": 16,
        "max_sequence_length": 64,
    } | tuning
    body.pop("callbacks")
    return body
