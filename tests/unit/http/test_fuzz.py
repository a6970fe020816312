"""Whatever comes in: an answer of ours, never a 5xx, never a value of the body in it."""

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import AsyncTestClient

from support.door import CANONICAL, WRITER

from .conftest import AppFactory

CANARY = "c4n4ry-of-this-test"
JSON = WRITER | {"content-type": "application/json"}
TOKENS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\\u0000",
    b"\xff",
    b"1e999",
    b"NaN",
    b",",
    b":",
    b"null",
    b"0",
]


def spoiled(cuts: list[tuple[int, int, bytes]]) -> bytes:
    """The canonical body with pieces replaced, a canary in every string."""
    body = CANONICAL.replace(b"unique-train-id", CANARY.encode() + b"!")
    for start, length, piece in cuts:
        at = start % len(body)
        body = body[:at] + piece + body[at + length :]
    return body


CUTS = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 40), st.sampled_from(TOKENS) | st.binary(max_size=8)),
    max_size=5,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bodies=st.lists(CUTS, min_size=5, max_size=10))
def test_spoiled_bodies(make_app: AppFactory, bodies: list[Any]) -> None:
    async def send_all() -> None:
        async with AsyncTestClient(
            make_app(), base_url="http://127.0.0.1", raise_server_exceptions=False
        ) as client:
            for cuts in bodies:
                answer = await client.post("/train", content=spoiled(cuts), headers=JSON)
                assert 200 <= answer.status_code < 500, answer.text
                if answer.status_code >= 400:
                    assert CANARY not in answer.text
                    assert json.loads(answer.content)["code"]

    asyncio.run(send_all())
