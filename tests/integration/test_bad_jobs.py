"""Bad requests, bad data sets, bad models: each gets its own clear error, and a failed job says why and what to do."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from support.api import Api
from support.bucket import BASE, DATA, open_bucket
from support.world import BUCKET, jsonl, request, rows
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.slow
Mend = Callable[[dict[str, Any]], object]
LONG = {
    "messages": [
        {"role": "user", "content": "word " * 400},
        {"role": "assistant", "content": "yes"},
    ]
}


def customization(**fields: Any) -> Mend:
    return lambda body: body["customization"].update(fields)


def tuning(**fields: Any) -> Mend:
    return lambda body: body["tuning_parameters"].update(fields)


def source(name: str, format_: str = "auto") -> Mend:
    return lambda body: body["datasets"][0].update(
        source=f"s3://{BUCKET}/bad/{name}", format=format_
    )


def weights(uri: str | None, **fields: Any) -> Mend:
    return lambda body: body["base_model"].update(weights_url=uri, **fields)


REFUSED: dict[str, tuple[Mend, int, str, str]] = {
    # What is wrong, then the status, path and code of the answer.
    "unknown field": (lambda b: b.update(trainer="x"), 400, "$.trainer", "unknown_field"),
    "misspelt field": (tuning(learning_rat=1), 400, "$.tuning_parameters.learning_rat", "unknown_field"),
    "number as text": (tuning(batch_size="64"), 400, "$.tuning_parameters.batch_size", "wrong_type"),
    "missing model": (lambda b: b.pop("base_model"), 400, "$.base_model", "missing_field"),
    "no data set": (lambda b: b.update(datasets=[]), 400, "$.datasets", "invalid_length"),
    "odd method": (customization(method="magic"), 400, "$.customization.method", "invalid_choice"),
    "rank of zero": (customization(rank=0), 400, "$.customization.rank", "out_of_range"),
    "job id with a slash": (lambda b: b.update(job_id="a/b"), 400, "$.job_id", "invalid_format"),
    "rank twice": (customization(lora={"rank": 8}), 422, "$.customization.lora.rank", "conflicting_fields"),
    "new transformer": (customization(method="new-transformer"), 422, "$.customization.method", "no_backend"),
    "provider bim": (lambda b: b["base_model"].update(provider="bim"), 422, "$.base_model.provider", "no_backend"),
    "int8 with full": (customization(method="full", precision="int8"), 422, "$.customization.precision", "not_supported"),
    "unknown backend": (lambda b: b.update(backend="axolotl"), 422, "$.backend", "no_backend"),
    "two nodes here": (lambda b: b["resources"].update(nodes=2), 422, "$.resources.nodes", "not_supported"),
    "stray parameter": (lambda b: b.update(extra_parameters={"gpuz": 1}), 422, "$.extra_parameters.gpuz", "unknown_field"),
    "odd scheme": (lambda b: b["datasets"][0].update(source="ftp://h/x"), 422, "$.datasets[0].source", "not_supported"),
    "half a key": (
        lambda b: b["datasets"][0].update(auth={"aws_access_key_id": "AKIA"}),
        422, "$.datasets[0].auth.aws_secret_access_key", "missing_field",
    ),
    "password in the address": (
        lambda b: b["datasets"][0].update(source="https://me:pw@host/x.jsonl"),
        422, "$.datasets[0].source", "credentials_in_address",
    ),
}  # fmt: skip

FAILED: dict[str, tuple[Mend, str, str]] = {
    # What is wrong, then the code and some words of the sentence.
    "data not there": (source("absent.jsonl"), "data_not_found", "absent.jsonl"),
    "bucket not there": (
        lambda b: b["datasets"][0].update(source="s3://no-such-bucket/x.jsonl"),
        "data_not_found", "no-such-bucket",
    ),
    "wrong keys": (
        lambda b: b["datasets"][0].update(auth={"aws_access_key_id": "AK", "aws_secret_access_key": "wrong" * 4}),
        "data_access_denied", "colours.jsonl",
    ),
    "broken line": (source("broken.jsonl"), "data_invalid", "broken.jsonl:3"),
    "unknown shape": (source("shape.jsonl"), "data_invalid", "shape.jsonl:1"),
    "not UTF-8": (source("latin.jsonl"), "data_invalid", "UTF-8"),
    "empty file": (source("empty.jsonl"), "data_empty", "no row"),
    "nothing to learn": (source("long.jsonl"), "data_empty", "max_sequence_length"),
    "no answer": (source("unanswered.jsonl"), "data_invalid", "assistant"),
    "torn parquet": (source("torn.parquet"), "data_invalid", "parquet"),
    "model not there": (weights(f"s3://{BUCKET}/models/absent/"), "model_not_found", "absent"),
    "model without config": (weights(f"s3://{BUCKET}/models/no-config/"), "model_invalid", "config.json"),
    "pickled weights": (weights(f"s3://{BUCKET}/models/pickle/"), "model_invalid", "safetensors"),
    "unknown architecture": (weights(f"s3://{BUCKET}/models/unknown/"), "model_invalid", "architecture"),
    "torn weights": (weights(f"s3://{BUCKET}/models/torn/"), "model_invalid", "model.safetensors"),
    "hub: not there": (weights(None, model_name="nobody/nothing"), "model_not_found", "nobody/nothing"),
    "hub: gated": (weights(None, model_name="gated/model"), "model_access_denied", "gated/model"),
    "no such module": (customization(target_modules=["q_prj"]), "config_invalid", "q_prj"),
    "no such PEFT key": (customization(peft={"use": True, "config": {"rankk": 3}}), "config_invalid", "rankk"),
    "learning rate beyond reason": (
        lambda b: (customization(method="full", precision="fp32")(b), tuning(learning_rate=1e30, max_grad_norm=1e30)(b)),
        "diverged", "loss",
    ),
    "results not writable": (
        lambda b: b["artifacts"].update(auth={"role_arn": S3Server.reader_role_arn}),
        "output_not_writable", f"s3://{BUCKET}/results/",
    ),
}  # fmt: skip


async def fill_with_rubbish(world: S3Server, base_model: Path) -> None:
    good = rows(4)
    bad = {
        "broken.jsonl": jsonl(good[:2]) + b'{"messages": [\n',
        "shape.jsonl": jsonl([{"alpha": "a", "beta": "b"}]),
        "latin.jsonl": '{"text": "café"}\n'.encode("latin-1"),
        "empty.jsonl": b"\n\n",
        "long.jsonl": jsonl([LONG] * 3),
        "unanswered.jsonl": jsonl([{"messages": [{"role": "user", "content": "hello?"}]}]),
        "torn.parquet": b"PAR1" + bytes(64),
    }
    config = json.loads((base_model / "config.json").read_text())
    weight_bytes = (base_model / "model.safetensors").read_bytes()
    models = {
        "no-config": {"model.safetensors": weight_bytes},
        "pickle": {"config.json": json.dumps(config).encode(), "pytorch_model.bin": b"\x80\x04."},
        "unknown": {
            "config.json": json.dumps(
                config | {"model_type": "mystery", "architectures": ["Mystery"]}
            ).encode(),
            "model.safetensors": weight_bytes,
        },
        "torn": {
            "config.json": json.dumps(config).encode(),
            "model.safetensors": weight_bytes[:1000],
        },
    }
    async with open_bucket(world) as store:
        for name, content in bad.items():
            await store.write(f"s3://{BUCKET}/bad/{name}", content)
        for name, files in models.items():
            for tokenizer in ("tokenizer.json", "tokenizer_config.json"):
                files |= {tokenizer: (base_model / tokenizer).read_bytes()}
            for file, content in files.items():
                await store.write(f"s3://{BUCKET}/models/{name}/{file}", content)


def refusing_hub() -> web.Application:
    """A model hub that holds nothing: gated repositories are refused, all others unknown."""

    async def refuse(request: web.Request) -> web.Response:
        gated = "/gated/" in request.path
        code = "GatedRepo" if gated else "RepoNotFound"
        return web.json_response(
            {"error": code}, status=403 if gated else 404, headers={"X-Error-Code": code}
        )

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", refuse)
    return app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(
    world: S3Server, base_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Api]:
    await fill_with_rubbish(world, base_model)
    runner = web.AppRunner(refusing_hub(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    environment = {
        "OMP_NUM_THREADS": "1",
        "TUNEGATE_STORAGE__HUB_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}",
    }
    home = tmp_path_factory.mktemp("gateway")
    async with (
        GatewayProcess(home, world, environment=environment) as gateway,
        Api(gateway.url, gateway.token) as client,
    ):
        yield client
    await runner.cleanup()


def slug(name: str) -> str:
    return "bad-" + "".join(c if c.isalnum() else "-" for c in name)


def body_of(name: str, mend: Mend, world: S3Server) -> dict[str, Any]:
    body = request(slug(name), "lora", world.role_arn, base=BASE, data=DATA, num_epochs=1)
    body["resources"] = {"gpus": 0, "cpus": 1, "memory_gb": 4}
    mend(body)
    return body


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", REFUSED)
async def test_bad_request(world: S3Server, api: Api, name: str) -> None:
    mend, status, path, code = REFUSED[name]
    answered, problem = await api.call("POST", "/train", json=body_of(name, mend, world))
    assert answered == status, problem
    assert (path, code) in {(error["path"], error["code"]) for error in problem["errors"]}, problem
    assert await api.call("GET", f"/train/{slug(name)}") != 200


@pytest.mark.asyncio(loop_scope="module")
async def test_failing_jobs_say_why(world: S3Server, api: Api) -> None:
    for name, (mend, _, _) in FAILED.items():
        await api.submit(body_of(name, mend, world))
    jobs = await asyncio.gather(*(api.wait(slug(name), timeout_s=400) for name in FAILED))
    wrong: list[str] = []
    sentences: set[str] = set()
    for job, (name, (_, code, words)) in zip(jobs, FAILED.items(), strict=True):
        error = job["error"] or {}
        sentences.add(error.get("message", ""))
        fits = (
            job["status"] == "failed"
            and error["code"] == code
            and words in error["message"]
            and error["advice"] == CATALOGUE[code].advice
        )
        if not fits:
            wrong.append(f"{name}: {job['status']} {error}")
    assert not wrong, "\n".join(wrong)
    assert len(sentences) == len(FAILED), "two different troubles are told in the same words"
