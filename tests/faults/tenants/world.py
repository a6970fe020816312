"""Tenants with tokens of all kinds and jobs in all states, on one gateway; whatever a tenant wrote bears its mark."""

import copy
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from support.asgi import Answered, call
from support.job_samples import attempt, delivery, event
from support.world import CANONICAL
from tunegate.contract.request import Auth
from tunegate.control.records import RESULT_FILES, JobState
from tunegate.control.store.protocol import Change, JobFilter
from tunegate.gateway import Gateway
from tunegate.sdk.storage import StorageError
from tunegate.settings import load

ADMIN = "admin-of-the-campaign"
TENANTS = ("acme", "Acme", "acme-2", "umbrella", "ac%6de", "acme ")
"""Names that a careless comparison takes for each other."""
SHARED = ("job-1", "job-2", "job-3", "job-4")
"""Every tenant has jobs of these names."""
STATES = (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED)


@dataclass(frozen=True)
class Token:
    """What docs/API_SPEC.md says of it."""

    text: str
    token_id: str
    read_only: bool = False
    prefixes: list[str] | None = None
    backends: list[str] | None = None


@dataclass
class Tenant:
    name: str
    mark: str
    number: int
    tokens: list[Token] = field(default_factory=list[Token])
    job_ids: list[str] = field(default_factory=list[str])
    attempts: dict[str, str] = field(default_factory=dict[str, str])
    """By attempt id: the token of its trainer."""
    deliveries: list[str] = field(default_factory=list[str])

    @property
    def role_arn(self) -> str:
        return f"arn:aws:iam::123456789012:role/{self.mark}"

    @property
    def places(self) -> list[str]:
        """What its limited token allows: in a bucket that it shares with the others, and on a server."""
        folder = f"users/{1000 + self.number}"
        return [f"s3://training-data/{folder}", f"https://data.example/{folder}"]


class World:
    """Makes all of it, calls, and takes pictures of what each tenant has."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.store = gateway._store
        self.tenants = [Tenant(name, f"mark{n}zq{n * 7919}", n) for n, name in enumerate(TENANTS)]
        self.marks = [tenant.mark for tenant in self.tenants]
        self.opened: list[tuple[str, Auth | None]] = []
        """Object stores that the gateway opened: where, and with what credentials."""

    async def call(
        self,
        token: str,
        method: str,
        target: str,
        body: Any = None,
        accept: str = "application/json",
    ) -> Answered:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}", "accept": accept}
        headers |= {"content-type": "application/json"} if body is not None else {}
        path, mark, query = target.partition("?")
        return await call(self.gateway.app, method, unquote(path) + mark + query, headers, raw)

    async def settle(self) -> None:
        for tenant in self.tenants:
            await self._make_tokens(tenant)
            own = f"own-{tenant.mark}"
            for number, job_id in enumerate((*SHARED, own)):
                await self._make_job(tenant, job_id, STATES[number % len(STATES)])

    def request(self, tenant: Tenant, job_id: str) -> dict[str, Any]:
        """The canonical body with the tenant's mark in every value that it may choose."""
        mark, body = tenant.mark, copy.deepcopy(CANONICAL)
        place, server = tenant.places
        body["job_id"] = job_id
        body["base_model"] |= {
            "auth_token": f"hf_{mark}",
            "weights_url": f"{server}/weights?sig={mark}",
        }
        body["resources"]["gpus"] = 0
        auth = {"role_arn": tenant.role_arn, "external_id": mark}
        body["datasets"][0] |= {"source": f"{place}/train.jsonl", "auth": auth}
        body["artifacts"] = {
            "output_uri": f"{place}/results",
            "log_uri": f"{place}/logs",
            "status_stream_url": f"https://stream.example/{mark}",
            "auth": auth,
        }
        hook = f"https://hooks.example/{mark}"
        body["callbacks"] = {"webhook_url": hook, "auth_header": f"Bearer {mark}"}
        body["metadata"] = {"team": mark, "same": "for all"}
        return body

    async def _make_tokens(self, tenant: Tenant) -> None:
        kinds: tuple[dict[str, Any], ...] = (
            {},
            {"read_only": True},
            {"uri_prefixes": tenant.places},
            {"uri_prefixes": tenant.places[:1], "backends": ["qlora", "echo"]},
        )
        for limits in kinds:
            made = await self.call(
                ADMIN, "POST", "/tokens", {"tenant": tenant.name, "label": tenant.mark, **limits}
            )
            answer = made.json()
            tenant.tokens.append(
                Token(
                    answer["secret"],
                    answer["token"]["token_id"],
                    read_only="read_only" in limits,
                    prefixes=limits.get("uri_prefixes"),
                    backends=limits.get("backends"),
                )
            )

    async def _make_job(self, tenant: Tenant, job_id: str, state: JobState) -> None:
        made = await self.call(
            tenant.tokens[0].text, "POST", "/train", self.request(tenant, job_id)
        )
        assert made.status == 201, made.body
        tenant.job_ids.append(job_id)
        job = await self.store.get_job(tenant.name, job_id)
        assert job is not None
        token = f"attempt-token-{tenant.mark}-{job_id}"
        hashed = self.gateway._sealer.token_hash(token)
        record = attempt(job, token_hash=hashed, submitted=True, cleaned=True)
        files = [{"path": f"{tenant.mark}.bin", "size_bytes": 1, "sha256": "0" * 64}]
        changed = await self.store.apply(
            Change(
                uid=job.uid,
                version=job.version,
                fields={"state": state, "attempt": 1, "detail": f"by {tenant.mark}"},
                events=[
                    event(f"note of {tenant.mark}", type="job.note", data={"text": tenant.mark}),
                    event(tenant.mark, status=str(job.status), data={}),
                    event(
                        tenant.mark,
                        status="succeeded" if state is JobState.SUCCEEDED else "running",
                        data={RESULT_FILES: files},
                    ),
                ],
                deliveries=[delivery(1, body=tenant.mark.encode())],
                new_attempt=record,
            )
        )
        assert changed is not None
        tenant.attempts[record.attempt_id] = token
        sent = await self.store.read_deliveries(job.uid, 0, 100)
        tenant.deliveries += [row.delivery_id for row in sent]
        logs = self.gateway.settings.state_path / "logs" / job.uid
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "attempt-1.log").write_text(f"log of {tenant.mark}\n")

    async def picture(self, tenant: Tenant) -> bytes:
        """All that the store has of the jobs of the tenant that were there from the start, and how many it has."""
        rows: list[Any] = []
        for job_id in tenant.job_ids:
            job = await self.store.get_job(tenant.name, job_id)
            if job is None:
                rows.append((job_id, "gone"))
                continue
            found = await self.store.get_attempt(job.uid, 1)
            words = await self.store.read_trainer_events(found.attempt_id, 0, 100) if found else []
            events = await self.store.read_events(job.uid, 0, 1_000)
            sent = await self.store.read_deliveries(job.uid, 0, 1_000)
            sealed = [
                await self.store.get_sealed(job.uid, name) for name in ("request", "callbacks")
            ]
            rows.append((job, found, words, events, sent, sealed))
        tokens = await self.store.list_tokens(tenant.name)
        rows.append([(t.token_id, t.digest, t.revoked_ms, t.expires_ms) for t in tokens])
        page, _ = await self.store.list_jobs(tenant.name, JobFilter(), None, 1)
        rows.append(page[0].job_id if page else None)
        return msgspec.msgpack.encode(rows)

    def open_store(self, uri: str, _policy: Any, auth: Auth | None) -> Any:
        self.opened.append((uri, auth))
        raise StorageError("not reachable from here")


@asynccontextmanager
async def world(folder: Path, database_url: str | None = None) -> AsyncGenerator[World]:
    environment = {
        "TUNEGATE_STATE_DIR": str(folder),
        "TUNEGATE_SERVER__ACCESS_LOG": "false",
        "TUNEGATE_LAUNCHERS__LOCAL__CPU_FALLBACK": "true",
        "TUNEGATE_STORAGE__FILE_ROOTS": '["/training-data"]',
    }
    if database_url is not None:
        environment["TUNEGATE_DATABASE_URL"] = database_url
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "gateway.toml"
    config.write_text(f'[[auth.tokens]]\nname = "operator"\ntoken = "{ADMIN}"\nadmin = true\n')
    gateway = Gateway(*load(config, environment))
    made = World(gateway)
    object.__setattr__(gateway._control, "open_store", made.open_store)
    await gateway._store.open()
    try:
        await made.settle()
        yield made
    finally:
        await gateway._store.close()
