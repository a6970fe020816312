import msgspec
from litestar import Litestar
from litestar.testing import AsyncTestClient

from tunegate.contract.attempt import EventBatch, HeartbeatEvent, NoteEvent, SequencedEvent

Client = AsyncTestClient[Litestar]
TOKEN = {"authorization": "Bearer attempt-token", "content-type": "application/json"}


async def test_the_winner_is_given_its_secrets(client: Client) -> None:
    answer = await client.post(
        "/internal/attempts/x/claim", content=b'{"run_uid": "12345678"}', headers=TOKEN
    )
    assert answer.status_code == 200
    assert answer.json()["secrets"]["hub_token"] == "hf_canary"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_token_of_the_gateway_claims_nothing(client: Client) -> None:
    headers = TOKEN | {"authorization": "Bearer writer-token"}
    answer = await client.post(
        "/internal/attempts/x/claim", content=b'{"run_uid": "12345678"}', headers=headers
    )
    assert answer.status_code == 401


async def test_events_are_taken_in_large_batches(client: Client) -> None:
    text = "x" * 4000
    events = [
        SequencedEvent(sequence=n, at_ms=n, event=NoteEvent(text=text)) for n in range(1, 501)
    ]
    batch = EventBatch(run_uid="12345678", events=events)
    answer = await client.post(
        "/internal/attempts/x/events", content=msgspec.json.encode(batch), headers=TOKEN
    )
    assert answer.json() == {"accepted_through": 500, "stop": None}


async def test_a_bad_batch_names_its_path(client: Client) -> None:
    event = SequencedEvent(sequence=1, at_ms=0, event=HeartbeatEvent())
    batch = msgspec.to_builtins(EventBatch(run_uid="12345678", events=[event]))
    batch["events"][0]["sequence"] = 0
    answer = await client.post("/internal/attempts/x/events", json=batch, headers=TOKEN)
    assert answer.status_code == 400
    assert [e["path"] for e in answer.json()["errors"]] == ["$.events[0].sequence"]
