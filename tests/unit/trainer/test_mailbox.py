"""Claim and events of a run that can't reach its gateway, on files."""

from pathlib import Path

import msgspec
import pytest

from tunegate.contract.attempt import ClaimGrant, ClaimRequest, HeartbeatEvent, SequencedEvent
from tunegate.contract.training import (
    AttemptTicket,
    DataSource,
    ModelSource,
    OutputPlan,
    StoragePolicy,
    TrainerSecrets,
    TrainingSpec,
)
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import ObjectInfo, StoreUnavailable
from tunegate.storage.file import FileStore
from tunegate.trainer.config import read_launch
from tunegate.trainer.gateway import GatewayRefused, GatewayUnreachable
from tunegate.trainer.mailbox import MailboxClient

GRANT = ClaimGrant(fence=7, attempt=2, resume=True, remaining_s=60.0, secrets=TrainerSecrets())


def spec_of(path: Path, root: Path | None = None) -> TrainingSpec:
    return TrainingSpec(
        job_id="job",
        method="lora",
        model=ModelSource(name="m"),
        datasets=[DataSource(source="d")],
        output=OutputPlan(output_uri=f"file://{path}/out/job/"),
        storage=StoragePolicy(file_roots=[str(root or path)]),
    )


def ticket(grant_file: str | None = "claim-grant.json") -> AttemptTicket:
    return AttemptTicket(
        job_id="job", attempt=2, attempt_id="a-2", run_name="run-2", gateway_url="http://x",
        token_file="token", grant_file=grant_file,
    )  # fmt: skip


def client(
    path: Path, run_uid: str = "run-uid-1", grant: ClaimGrant | None = GRANT
) -> MailboxClient:
    return MailboxClient(ticket(), grant, spec_of(path), run_uid)


def numbered(*numbers: int) -> list[SequencedEvent]:
    return [SequencedEvent(sequence=n, at_ms=1, event=HeartbeatEvent()) for n in numbers]


async def test_the_first_one_wins(tmp_path: Path) -> None:
    async with client(tmp_path) as one, client(tmp_path, "run-uid-2") as two:
        assert await one.claim() == GRANT
        assert await one.claim() == GRANT
        with pytest.raises(GatewayRefused):
            await two.claim()
    written = (tmp_path / "out/job/attempts/2/claim.json").read_bytes()
    assert msgspec.json.decode(written, type=ClaimRequest).run_uid == "run-uid-1"


async def test_without_a_grant_there_is_nothing_to_claim(tmp_path: Path) -> None:
    async with client(tmp_path, grant=None) as late:
        with pytest.raises(GatewayRefused):
            await late.claim()
    assert not (tmp_path / "out").exists()


async def test_an_output_that_can_not_be_written(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    spec = spec_of(tmp_path, inside)
    async with MailboxClient(ticket(), GRANT, spec, "run-uid-1") as one:
        with pytest.raises(TunegateError) as caught:
            await one.claim()
    assert caught.value.code == "output_not_writable"


async def test_a_try_that_was_not_heard_is_sent_again_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], FileStore.write

    async def deaf(
        self: FileStore, uri: str, data: bytes, *, if_absent: bool = False
    ) -> ObjectInfo:
        info = await write(self, uri, data, if_absent=if_absent)
        written.append(uri)
        if len(written) == 2:
            raise StoreUnavailable("no answer")
        return info

    monkeypatch.setattr(FileStore, "write", deaf)
    async with client(tmp_path) as one:
        await one.claim()
        with pytest.raises(GatewayUnreachable):
            await one.send(numbered(1, 2))
        assert (await one.send(numbered(1, 2, 3))).accepted_through == 2
        assert (await one.send(numbered(3, 4))).accepted_through == 4
    names = sorted(path.name for path in (tmp_path / "out/job/attempts/2").glob("events-*"))
    assert names == ["events-0000000001.ndjson", "events-0000000003.ndjson"]
    first = (tmp_path / "out/job/attempts/2" / names[0]).read_bytes()
    assert first.count(b"\n") == 2


@pytest.mark.parametrize("there", [True, False])
def test_the_grant_is_read_from_beside_the_ticket(tmp_path: Path, there: bool) -> None:
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(spec_of(tmp_path)))
    (tmp_path / "attempt.json").write_bytes(msgspec.json.encode(ticket()))
    if there:
        (tmp_path / "claim-grant.json").write_bytes(msgspec.json.encode(GRANT))
    launch = read_launch(tmp_path / "job.json", None, tmp_path / "work")
    assert launch.grant == (GRANT if there else None)
    assert launch.token is None
