"""The dry run: what would run, what the data looks like, what it may cost; trouble becomes a sentence."""

import json
from typing import Any, Self

import pytest

from support.front import TENANT, Front, MemoryObjects, build_front, request
from tunegate.control import preview
from tunegate.control.service import JobService
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import AccessDenied

SOURCE = "s3://bucket/data/train.jsonl"


def rows(count: int, **row: str) -> bytes:
    return (json.dumps(row or {"prompt": "p" * 36, "completion": "c" * 4}) + "\n").encode() * count


async def sources(service: JobService, **fields: Any) -> list[dict[str, Any]]:
    answer = await service.dry_run(TENANT, request(**fields))
    assert answer.data is not None
    return answer.data["sources"]


async def test_it_shows_what_would_run(front: Front, service: JobService) -> None:
    front.objects[SOURCE] = rows(100)
    fields = {"tuning_parameters": {"batch_size": 10, "num_epochs": 2}}
    extra = {"queue": "fast", "unsloth": {"x": 1}}
    answer = await service.dry_run(TENANT, request(**fields, extra_parameters=extra))
    assert (answer.backend, answer.launcher, answer.notes) == ("trainer", "queue", ["reviewed"])
    assert [entry.path for entry in answer.ignored] == ["$.extra_parameters.unsloth.x"]
    assert json.loads(answer.container["files"][0]["content"])["tuning"]["batch_size"] == 10
    assert answer.launcher_request["kind"] == "Queued"
    assert answer.launcher_request["body"]["token"] == "***"
    assert answer.launcher_request["body"]["options"] == {"queue": "fast"}
    assert answer.predicted is not None
    assert answer.predicted["kind"] == "estimate"
    assert answer.predicted["steps"] == 19, "95 rows, 2 epochs, 10 a step"
    assert answer.predicted["parameters"] == 7_000_000_000
    assert await front.store.get_job("acme", "job-1") is None


@pytest.mark.parametrize(("gpus_there", "hardware"), [(0, "CPU cores"), (1, "each of 1 GPUs")])
async def test_the_time_is_reckoned_with_what_the_launcher_has(
    front: Front,
    service: JobService,
    monkeypatch: pytest.MonkeyPatch,
    gpus_there: int,
    hardware: str,
) -> None:
    """A launcher may let a job run with less than it asks for; it says so in `ignored`."""
    monkeypatch.setattr(type(front.launcher), "review", lambda *_: ([], []))
    monkeypatch.setattr(type(front.launcher), "largest_gpus", gpus_there)
    answer = await service.dry_run(TENANT, request(resources={"gpus": 4}))
    assert answer.predicted is not None
    assert any(hardware in assumption for assumption in answer.predicted["assumptions"])


async def test_a_small_data_set_is_counted(front: Front, service: JobService) -> None:
    front.objects[SOURCE] = rows(7) + b'{"nothing": "known"}\n{"torn'
    [sample] = await sources(service)
    assert (sample["rows_seen"], sample["estimated_rows"], sample["estimated_tokens"]) == (7, 7, 70)
    assert sample["shapes"] == {"prompt and completion": 7}
    assert sample["bad_rows_seen"] == 2
    assert "fit no known shape" in sample["reasons"][0]


async def test_a_large_one_is_extrapolated(
    front: Front, service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rows(1000)
    monkeypatch.setattr(preview, "SAMPLE_BYTES", len(data) // 10)
    front.objects[SOURCE] = data
    [sample] = await sources(service)
    assert sample["rows_seen"] == 100
    assert sample["estimated_rows"] == 1000
    assert sample["size_bytes"] == len(data)


async def test_rows_are_cut_at_the_longest_sequence(front: Front, service: JobService) -> None:
    front.objects[SOURCE] = rows(2, text="x" * 4000)
    [sample] = await sources(service, tuning_parameters={"max_sequence_length": 64})
    assert sample["estimated_tokens"] == 128


async def test_trouble_is_told_per_data_set(front: Front, service: JobService) -> None:
    front.objects[SOURCE] = rows(3)
    front.objects["s3://bucket/empty.jsonl"] = b""
    wanted = [
        {"source": SOURCE, "format": "auto"},
        {"source": "s3://bucket/absent.jsonl", "format": "auto"},
        {"source": "s3://bucket/empty.jsonl", "format": "auto"},
        {"source": "org/data", "format": "hf"},
    ]
    fine, absent, empty, hub = await sources(service, datasets=wanted)
    assert fine["note"] is None
    assert absent["note"] == "Not readable from the gateway: there is no such object"
    assert empty["note"] == "No row can be read from the beginning of this file."
    assert hub["note"] == "Data sets of the hub are not sampled."


async def test_without_all_of_the_data_nothing_is_predicted_from_it(
    front: Front, service: JobService
) -> None:
    answer = await service.dry_run(TENANT, request())
    assert answer.predicted is not None
    assert (answer.predicted["steps"], answer.predicted["time_s"]) == (None, None)
    assert answer.predicted["memory_bytes"]["total"] > 7_000_000_000


async def test_validation_data_does_not_count_as_training_data(
    front: Front, service: JobService
) -> None:
    front.objects[SOURCE] = rows(100)
    wanted = [{"source": SOURCE, "format": "auto"}] * 2
    wanted[1] = wanted[1] | {"split": "validation"}
    answer = await service.dry_run(TENANT, request(datasets=wanted))
    assert answer.data is not None
    assert answer.data["estimated_rows"] == 100


async def test_the_size_is_read_from_the_models_config(front: Front, service: JobService) -> None:
    config = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    front.objects["s3://bucket/models/x/config.json"] = json.dumps(config).encode()
    base = {
        "provider": "huggingface",
        "model_name": "org/x",
        "weights_url": "s3://bucket/models/x/",
    }
    answer = await service.dry_run(TENANT, request(base_model=base))
    assert answer.predicted is not None
    assert answer.predicted["parameters"] == 2 * 100 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 256)


async def test_a_backend_without_job_json_predicts_nothing(
    front: Front, service: JobService
) -> None:
    answer = await service.dry_run(TENANT, request(customization={"method": "full"}))
    assert answer.predicted is None
    assert answer.container["image"] == "plain"


async def test_problems_are_an_error_like_in_a_real_submission(service: JobService) -> None:
    with pytest.raises(TunegateError) as caught:
        await service.dry_run(TENANT, request(), "plain")
    assert caught.value.code == "invalid_job"


async def test_a_store_that_refuses_is_no_error(tmp_path: Any) -> None:
    class Refusing(MemoryObjects):
        async def __aenter__(self) -> Self:
            raise AccessDenied("no credentials")

    front = await build_front(
        tmp_path, open_store=lambda _uri, policy, auth: Refusing(policy, auth)
    )
    [sample] = await sources(JobService(front.context))
    assert sample["note"] == "Not readable from the gateway: no credentials"
    await front.store.close()
