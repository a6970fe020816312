"""`tunegate demo`: a bucket, a gateway, three jobs, and what came of them.

Everything is real at small scale: an S3 server, STS roles, the gateway as its own process, its trainers as theirs.
All of it lives in one folder and on loopback, and ends with this program; the files stay.
"""

import asyncio
import json
import secrets
import sys
import time
from pathlib import Path

from tunegate.client import AsyncClient
from tunegate.contract.job import Job
from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.demo import show
from tunegate.demo.domain import PROBE, Style, corpus, rows
from tunegate.demo.jobs import LESSONS, Lesson, Places, request
from tunegate.sdk.storage import ObjectStore
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.receiver import WebhookReceiver, webhook_receiver
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage.s3 import S3Store

BUCKET = "deepfinery-training-data-123456"
TRAINING_ROWS: dict[str, tuple[Style, int]] = {"payments": ("plain", 1500), "desk": ("desk", 600)}


async def run_python(*arguments: str) -> str:
    """Run a Python module of the trainer's in a process of its own and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(err.decode(errors="replace"))
    return out.decode()


async def make_base_model(folder: Path) -> None:
    """A small Llama with random weights and a real tokenizer."""
    text = folder.parent / "corpus.txt"
    text.write_text("\n".join(corpus()))
    await run_python(
        *("-m", "tunegate.trainer.tiny", str(folder), "--corpus", str(text)),
        *("--hidden", "128", "--layers", "4", "--vocab", "512"),
    )


async def fill_bucket(store: ObjectStore, places: Places, home: Path) -> None:
    """The data where the launcher puts it, the base model beside it."""
    for name, (style, count) in TRAINING_ROWS.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows(count, style, seed=len(name)))
        await store.write(places.data(name), lines.encode())
    for path in sorted((home / "base").iterdir()):
        await store.upload(path, places.base_model + path.name)


async def run_job(client: AsyncClient, lesson: Lesson, places: Places) -> Job:
    """Send one job and show its events until it ends."""
    started = time.monotonic()
    show.accepted(await client.submit(request(lesson, places)), time.monotonic() - started)
    async for event in client.events(lesson.job_id):
        show.event(event)
    job = await client.get(lesson.job_id)
    show.ended(job, time.monotonic() - started)
    return job


async def answers(
    store: ObjectStore, lesson: Lesson, places: Places, home: Path
) -> tuple[str, str]:
    """The model's answer to one unseen payment before and after the lesson."""
    base = (
        home / "base"
        if lesson.starts_from is None
        else home / "results" / f"demo-{lesson.starts_from}"
    )
    result = home / "results" / lesson.job_id
    prefix = places.result(lesson.job_id)
    async for found in store.list(prefix):
        name = found.uri.removeprefix(prefix)
        if not name.startswith("checkpoints/"):
            await store.download(found.uri, result / name)
    generate = ("-m", "tunegate.trainer.generate")
    question = PROBE.question()
    if lesson.method == "full":
        after = (*generate, str(result), question)
    else:
        after = (*generate, str(base), question, "--adapter", str(result))
    before = (*generate, str(base), question)
    first, second = await asyncio.gather(run_python(*before), run_python(*after))
    return json.loads(first)["answers"][0], json.loads(second)["answers"][0]


async def report(
    client: AsyncClient,
    store: ObjectStore,
    receiver: WebhookReceiver,
    places: Places,
    home: Path,
    gateway_url: str,
) -> None:
    """Per job: losses, answers, artifacts, webhooks; then where to look."""
    for lesson in LESSONS:
        metrics = await client.metrics(lesson.job_id)
        artifacts = await client.artifacts(lesson.job_id)
        before, after = await answers(store, lesson, places, home)
        show.result(lesson, metrics.data, artifacts.data, PROBE, before, after)
        show.webhooks([one for one in receiver.received if one.body.job_id == lesson.job_id])
    show.places(places, home, gateway_url)


async def tell(home: Path) -> bool:
    """The whole story in `home`, an empty folder; whether all jobs succeeded."""
    authorization = f"Bearer {secrets.token_urlsafe(16)}"
    show.title()
    with S3Server(home / "s3") as s3:
        policy = StoragePolicy(
            s3_endpoint_url=s3.endpoint_url, s3_path_style=True, allow_private_addresses=True
        )
        auth = Auth(
            aws_access_key_id=Secret(s3.access_key), aws_secret_access_key=Secret(s3.secret_key)
        )
        s3.create_bucket(BUCKET)
        async with (
            webhook_receiver(authorization=authorization) as receiver,
            S3Store(policy, auth) as store,
            GatewayProcess(home, s3) as gateway,
            AsyncClient(gateway.url, gateway.token) as client,
        ):
            show.ready(gateway.url, gateway.seconds_to_ready, s3.endpoint_url, receiver.url)
            places = Places(BUCKET, s3.role_arn, receiver.url, receiver.stream_url, authorization)
            await make_base_model(home / "base")
            await fill_bucket(store, places, home)
            show.prepared(places)
            for lesson in LESSONS:
                job = await run_job(client, lesson, places)
                if job.status != "succeeded":
                    return False
            for lesson in LESSONS:
                await receiver.wait_for(lesson.job_id, "succeeded")
            await report(client, store, receiver, places, home, gateway.url)
            if sys.stdin.isatty():
                await asyncio.to_thread(show.wait_for_enter, gateway.url, gateway.token)
    return True
