"""The canonical request with the real backends: accepted as it is, and every field that matters arrives."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.front import TENANT, build_front
from tunegate.contract.decode import decode_request
from tunegate.control.registry import BackendRegistry
from tunegate.control.service import JobService

CANONICAL = Path(__file__).parents[3] / "config" / "jobs" / "canonical.json"


async def dry_run(tmp_path: Path, body: bytes) -> Any:
    front = await build_front(tmp_path, backends=BackendRegistry.installed_here())
    try:
        return await JobService(front.context).dry_run(TENANT, decode_request(body))
    finally:
        await front.store.close()


async def test_it_is_accepted_byte_for_byte(tmp_path: Path) -> None:
    body = CANONICAL.read_bytes()
    answer = await dry_run(tmp_path, body)
    assert answer.backend == "huggingface-lora"
    resources = answer.container["resources"]
    assert (resources["gpus"], resources["gpu_type"], resources["cpus"]) == (4, "A100", 16)
    assert resources["max_duration_s"] == 720 * 60
    [content] = [f["content"] for f in answer.container["files"] if f["path"] == "job.json"]
    spec = json.loads(content)
    assert spec["model"]["name"] == "meta-llama/Llama-2-7b"
    assert spec["adapter"]["target_modules"] == ["q_proj", "v_proj"]
    assert spec["trainable_layers"] == ["decoder.layers.0"]
    assert spec["tuning"]["max_sequence_length"] == 4096
    assert spec["output"]["output_uri"].endswith("/results/unique-train-id/")
    assert answer.predicted["parameters"] == 7_000_000_000
    for secret in ("hf_xxx", "hf_launchpad_token", "Bearer mytoken"):
        assert secret not in str(answer)


@pytest.mark.parametrize(
    ("method", "backend"),
    [("lora", "huggingface-lora"), ("qlora", "qlora"), ("full", "full-finetune"), ("peft", "huggingface-lora")],
)  # fmt: skip
async def test_methods_find_their_backends(tmp_path: Path, method: str, backend: str) -> None:
    body = json.loads(CANONICAL.read_bytes())
    body["customization"]["method"] = method
    assert (await dry_run(tmp_path, json.dumps(body).encode())).backend == backend
