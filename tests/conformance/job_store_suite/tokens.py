"""Tokens: kept without their secret, ended but never deleted."""

import pytest

from support.job_samples import ManualClock
from tunegate.control.principal import Principal
from tunegate.control.store.protocol import JobStore
from tunegate.control.tokens import TokenRecord


def token(token_id: str, tenant: str = "acme", **fields: object) -> TokenRecord:
    plain = {"digest": b"\x00hash", "label": "", "created_ms": 1_700_000_000_000}
    return TokenRecord(
        token_id=token_id,
        principal=Principal(name=tenant, token=token_id, max_gpus=4),
        **(plain | fields),  # type: ignore[arg-type]
    )


class TokenPromises:
    async def test_a_token_comes_back_as_it_was(self, store: JobStore) -> None:
        one = token("one", expires_ms=1_800_000_000_000, label="für Ümläute")
        await store.add_token(one)
        assert await store.get_token("one") == one
        assert await store.get_token("two") is None

    async def test_an_id_is_never_given_twice(self, store: JobStore) -> None:
        await store.add_token(token("one"))
        with pytest.raises(Exception):  # noqa: B017, PT011 - each driver has its own
            await store.add_token(token("one", "other"))
        kept = await store.get_token("one")
        assert kept is not None
        assert kept.principal.name == "acme"

    async def test_lists_are_by_age_and_tenant(self, store: JobStore) -> None:
        for token_id, tenant, age in (("b", "acme", 2), ("c", "other", 3), ("a", "acme", 1)):
            await store.add_token(token(token_id, tenant, created_ms=1_700_000_000_000 + age))
        assert [t.token_id for t in await store.list_tokens(None)] == ["a", "b", "c"]
        assert [t.token_id for t in await store.list_tokens("acme")] == ["a", "b"]

    async def test_a_revoked_token_stays_revoked(self, store: JobStore, clock: ManualClock) -> None:
        await store.add_token(token("one"))
        first_ms = clock.time_ms
        ended = await store.end_token("one", None)
        assert ended is not None
        assert ended.revoked_ms == first_ms
        clock.time_ms += 1000
        again = await store.end_token("one", None)
        assert again is not None
        assert again.revoked_ms == first_ms
        assert await store.end_token("two", None) is None

    async def test_an_end_can_only_come_nearer(self, store: JobStore) -> None:
        await store.add_token(token("one"))
        for asked, expected in ((2000, 2000), (3000, 2000), (1000, 1000)):
            ended = await store.end_token("one", asked)
            assert ended is not None
            assert ended.expires_ms == expected

    async def test_the_last_use_moves_forward(self, store: JobStore, clock: ManualClock) -> None:
        await store.add_token(token("one"))
        for used_ms in (clock.time_ms - 500, clock.time_ms - 900):
            await store.note_token_uses({"one": used_ms, "unknown": used_ms})
        found = await store.get_token("one")
        assert found is not None
        assert found.last_used_ms == clock.time_ms - 500
        ended = await store.end_token("one", None)
        assert ended is not None
        assert (await store.list_tokens(None))[0].last_used_ms == clock.time_ms - 500
