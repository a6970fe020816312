"""One trace from the client's span through the request and the launch into the trainer's phases."""

import asyncio
from pathlib import Path

import pytest

from support.api import Api
from support.bucket import BASE, DATA
from support.collector import collecting
from support.world import request
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.slow
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PHASES = {"preparing", "training", "saving", "uploading"}


async def test_one_trace_leads_into_the_trainer(world: S3Server, tmp_path: Path) -> None:
    with collecting() as collector:
        environment = {
            "OMP_NUM_THREADS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        async with GatewayProcess(tmp_path / "g", world, environment=environment) as gateway:
            async with Api(gateway.url, gateway.token) as api:
                body = request("traced", "lora", world.role_arn, base=BASE, data=DATA, num_epochs=1)
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                status, job = await api.call("POST", "/train", json=body, headers=headers)
                assert status == 201, job
                assert (await api.wait("traced"))["status"] == "succeeded"
            await asyncio.sleep(0)
        token = gateway.token
        log = gateway.log_file.read_text()
    ours = [(who, span) for who, span in collector.spans if span.trace_id.hex() == TRACE]
    by_name = {(who, span.name): span for who, span in ours}
    post = by_name["tunegate", "POST /train"]
    assert post.parent_span_id.hex() == CALLER
    assert by_name["tunegate", "launch"].parent_span_id == post.span_id
    train = by_name["tunegate-trainer", "train"]
    assert train.parent_span_id == post.span_id
    phases = {span.name for _, span in ours if span.parent_span_id == train.span_id}
    assert {"preparing", "training"} <= phases
    assert phases <= PHASES | {"evaluating", "exporting"}
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for _, span in ours)
    assert f'"trace_id":"{TRACE}"' in log.replace(" ", "")
    for hidden in (token, "s3://", world.secret_key, "traced/"):
        assert hidden.encode() not in collector.raw, "no address, no name of a client, no secret"
