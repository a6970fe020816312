from typing import Any

import pytest

from tunegate.control.records import Delivery
from tunegate.control.retrying import Accepted, Bury, Retry, Try, again, answered, retry_after_s
from tunegate.control.settings import WebhookSettings

NOW_MS = 1_700_000_000_000
SETTINGS = WebhookSettings()


def a_try(**fields: Any) -> Try:
    about = {name: fields.pop(name) for name in ("overtaken", "chance") if name in fields}
    row = {
        "delivery_id": "d", "uid": "u", "tenant": "t", "job_id": "j", "channel": "webhook",
        "sequence": 1, "body": b"", "final": False, "tries": 0, "next_at_ms": 0,
        "created_ms": NOW_MS, **fields,
    }  # fmt: skip
    return Try(delivery=Delivery(**row), now_ms=NOW_MS, **{"chance": 0.0, **about})


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_accepted(status: int) -> None:
    assert answered(a_try(), status, None, SETTINGS) == Accepted()


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 408, 409, 429, 500, 502, 503])
def test_others_are_tried_again(status: int) -> None:
    outcome = answered(a_try(), status, None, SETTINGS)
    assert outcome == Retry(at_ms=NOW_MS + 500, note=f"HTTP {status}")


@pytest.mark.parametrize("status", [404, 410])
def test_a_job_that_the_receiver_knew_was_deleted(status: int) -> None:
    outcome = answered(a_try(follows_accepted=True, final=True), status, None, SETTINGS)
    assert outcome == Bury(note=f"HTTP {status}", deleted=True, gone=status == 410)


def test_gone_from_the_start_is_no_deletion() -> None:
    assert answered(a_try(), 410, None, SETTINGS) == Bury(note="HTTP 410", gone=True)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_bytes_that_are_never_taken_are_given_up_unless_final(status: int) -> None:
    assert isinstance(answered(a_try(), status, None, SETTINGS), Bury)
    assert isinstance(answered(a_try(final=True), status, None, SETTINGS), Retry)


def test_waits_of_a_final_status_grow_and_span_days() -> None:
    waits: list[int] = []
    for tries in range(30):
        outcome = again(a_try(final=True, tries=tries), "no", SETTINGS)
        if isinstance(outcome, Bury):
            break
        waits.append(outcome.at_ms - NOW_MS)
    assert waits == sorted(waits)
    assert waits[:3] == [500, 2000, 5000]
    assert sum(waits) >= 96 * 3_600_000
    assert isinstance(outcome, Bury)


def test_a_passing_status_never_blocks_for_long() -> None:
    outcome = again(a_try(tries=12), "no", SETTINGS)
    assert outcome == Retry(at_ms=NOW_MS + 300_000, note="no")


def test_a_newer_status_takes_over_after_the_quick_tries() -> None:
    assert isinstance(again(a_try(tries=1, overtaken=True), "no", SETTINGS), Retry)
    assert isinstance(again(a_try(tries=2, overtaken=True), "no", SETTINGS), Bury)
    assert isinstance(again(a_try(tries=9, overtaken=True, final=True), "no", SETTINGS), Retry)


def test_jitter_only_adds() -> None:
    outcome = again(a_try(tries=2, chance=0.999), "no", SETTINGS)
    assert isinstance(outcome, Retry)
    assert 5000 < outcome.at_ms - NOW_MS < 6000


def test_retry_after_is_honoured() -> None:
    outcome = answered(a_try(), 503, "120", SETTINGS)
    assert outcome == Retry(at_ms=NOW_MS + 120_000, note="HTTP 503")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("9999999", 86_400.0),
        ("-3", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
    ],
)
def test_retry_after_in_all_its_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW_MS) == seconds


def test_stale_stream_events_are_dropped() -> None:
    old = NOW_MS - 601_000
    assert isinstance(again(a_try(channel="stream", created_ms=old), "no", SETTINGS), Bury)
    final = a_try(channel="stream", created_ms=old, final=True)
    assert isinstance(again(final, "no", SETTINGS), Retry)
