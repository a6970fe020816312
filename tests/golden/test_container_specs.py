"""What the canonical request becomes, backend by backend. `UPDATE_GOLDEN=1 pytest tests/golden` writes the files anew."""

import json
import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunegate.sdk.testing.samples import sample_context, train_request

HERE = Path(__file__).parent
CANONICAL = HERE.parents[1] / "config/jobs/canonical.json"
METHODS = {"echo": "lora", "huggingface-lora": "lora", "qlora": "qlora", "full-finetune": "full"}


def rendered(backend_name: str) -> dict[str, Any]:
    (entry,) = entry_points(group="tunegate.backends", name=backend_name)
    backend = entry.load()()
    body = json.loads(CANONICAL.read_text())
    body["customization"]["method"] = METHODS[backend_name]
    job = train_request(body)
    options, context = backend.options_type(), sample_context(job)
    review = backend.review(job, options, context)
    container = msgspec.to_builtins(backend.build(job, options, context))
    for file in container["files"]:
        file["content"] = json.loads(file["content"])
    return {"review": msgspec.to_builtins(review), "container": container}


@pytest.mark.parametrize("backend_name", sorted(METHODS))
def test_canonical_request(backend_name: str) -> None:
    golden, seen = HERE / f"container-{backend_name}.json", rendered(backend_name)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(json.dumps(seen, indent=2, sort_keys=True) + "\n")
    assert seen == json.loads(golden.read_text())
