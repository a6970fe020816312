import base64
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from tunegate.contract.tokens import NewToken, Rotation
from tunegate.control.store.sqlite import SqliteStore
from tunegate.control.token_keeper import CACHED_S, TokenKeeper
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.testing.clock import FakeClock


class Desk:
    """A keeper on a real store; ids and chance are numbered."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore(path / "jobs.db", self.clock)
        self.keeper = self.another()

    def another(self) -> TokenKeeper:
        """Another replica's keeper."""
        numbers = count(1)
        return TokenKeeper(
            self.store,
            self.clock,
            new_id=lambda: f"token{next(numbers):07d}",
            chance=lambda size: (
                base64.urlsafe_b64encode(bytes([next(numbers)] * size)).decode().rstrip("=")
            ),
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    await desk.store.open()
    yield desk
    await desk.store.close()


async def test_a_token_opens_the_door_with_its_limits(desk: Desk) -> None:
    wanted = NewToken(
        tenant="acme", label="Ann", read_only=True, uri_prefixes=["s3://a/"], max_gpus=4
    )
    issued = await desk.keeper.issue(wanted)
    principal = await desk.keeper.principal(issued.secret.reveal())
    assert principal is not None
    assert (principal.name, principal.read_only, principal.max_gpus) == ("acme", True, 4)
    assert principal.uri_prefixes == ["s3://a/"]
    assert principal.token == issued.token.token_id
    [kept] = await desk.store.list_tokens(None)
    assert issued.secret.reveal().rpartition("_")[2].encode() not in kept.digest
    assert issued.secret.reveal() not in repr(issued)


@pytest.mark.parametrize("change", ["id", "secret"])
async def test_a_wrong_token_is_refused(desk: Desk, change: str) -> None:
    good = (await desk.keeper.issue(NewToken(tenant="acme"))).secret.reveal()
    bad = good.replace("token", "nekot") if change == "id" else good[:-1] + "_"
    with pytest.raises(TunegateError, match=r"unauthorized: No valid token"):
        await desk.keeper.principal(bad)


@pytest.mark.parametrize("other", ["", "plain", "tg_short_x", "tg_token0000001_" + "a" * 42])
async def test_other_texts_are_left_to_others(desk: Desk, other: str) -> None:
    assert await desk.keeper.principal(other) is None


async def test_an_expired_token_says_so(desk: Desk) -> None:
    issued = await desk.keeper.issue(NewToken(tenant="acme", expires_in_s=60))
    assert await desk.keeper.principal(issued.secret.reveal())
    desk.clock.step(60)
    with pytest.raises(TunegateError, match="expired"):
        await desk.keeper.principal(issued.secret.reveal())
    [seen] = (await desk.keeper.all()).data
    assert not seen.usable


async def test_a_revoked_token_is_shut_out_here_at_once_and_elsewhere_soon(desk: Desk) -> None:
    issued = await desk.keeper.issue(NewToken(tenant="acme"))
    elsewhere = desk.another()
    assert await elsewhere.principal(issued.secret.reveal())
    await desk.keeper.revoke(issued.token.token_id)
    with pytest.raises(TunegateError, match="revoked"):
        await desk.keeper.principal(issued.secret.reveal())
    assert await elsewhere.principal(issued.secret.reveal())
    desk.clock.step(CACHED_S)
    with pytest.raises(TunegateError, match="revoked"):
        await elsewhere.principal(issued.secret.reveal())


async def test_a_rotated_token_has_the_same_rights_and_overlaps_the_old_one(desk: Desk) -> None:
    old = await desk.keeper.issue(
        NewToken(tenant="acme", admin=True, max_jobs=3, expires_in_s=1000)
    )
    new = await desk.keeper.rotate(old.token.token_id, Rotation(overlap_s=100))
    before, after = [await desk.keeper.principal(each.secret.reveal()) for each in (old, new)]
    assert before is not None
    assert after is not None
    assert (after.name, after.admin, after.max_jobs) == (before.name, True, 3)
    desk.clock.step(100)
    assert await desk.keeper.principal(new.secret.reveal())
    with pytest.raises(TunegateError, match="expired"):
        await desk.keeper.principal(old.secret.reveal())
    with pytest.raises(TunegateError, match="token_not_found"):
        await desk.keeper.rotate(old.token.token_id, Rotation())
    desk.clock.step(900)
    with pytest.raises(TunegateError, match="expired"):
        await desk.keeper.principal(new.secret.reveal())


@pytest.mark.parametrize("call", ["revoke", "rotate"])
async def test_an_unknown_token_can_not_be_ended(desk: Desk, call: str) -> None:
    revoke, rotate = desk.keeper.revoke, desk.keeper.rotate
    ended = revoke("nobody") if call == "revoke" else rotate("nobody", Rotation())
    with pytest.raises(TunegateError, match="token_not_found"):
        await ended


async def test_the_last_use_is_written_down_now_and_then(desk: Desk) -> None:
    issued = await desk.keeper.issue(NewToken(tenant="acme"))
    for _ in range(100):
        await desk.keeper.principal(issued.secret.reveal())
        desk.clock.step(1)
    await desk.keeper.write_uses()
    [seen] = (await desk.keeper.all("acme")).data
    assert seen.last_used_at is not None
    assert (await desk.keeper.all("other")).data == []
