"""Making, listing, rotating and revoking tokens, and finding out whose a presented one is."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec

from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, TokenList
from tunegate.control.principal import Principal
from tunegate.control.tokens import (
    RandomText,
    TokenRecord,
    matches,
    mint,
    token_id_of,
    token_view,
    unusable,
)
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

CACHED_S = 5.0
"""A token that was revoked at another replica works here for so long at most."""
CACHED = 10_000
NOTED_MS = 60_000
"""The last use is written down no more often."""
logger = logging.getLogger(__name__)
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class TokenStore(Protocol):
    """The part of a job store that holds tokens."""

    def now_ms(self) -> int: ...
    async def add_token(self, record: TokenRecord) -> None: ...
    async def get_token(self, token_id: str) -> TokenRecord | None: ...
    async def list_tokens(self, tenant: str | None) -> list[TokenRecord]: ...
    async def end_token(self, token_id: str, expires_ms: int | None) -> TokenRecord | None: ...
    async def note_token_uses(self, uses: Mapping[str, int]) -> None: ...


def new_token_id() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(12))


class TokenKeeper:
    """Holders of recent tokens are remembered for a few seconds, so that not every request asks the store."""

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        *,
        new_id: Callable[[], str] = new_token_id,
        chance: RandomText = secrets.token_urlsafe,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._chance = chance
        self._recent: OrderedDict[str, tuple[float, TokenRecord | None]] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._notes: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write down uses."""
        self._notes = asyncio.create_task(self._keep_notes(), name="token uses")

    async def stop(self) -> None:
        if self._notes is not None:
            self._notes.cancel()
            await asyncio.gather(self._notes, return_exceptions=True)
        with suppress(TunegateError):
            await self.write_uses()

    async def issue(self, wanted: NewToken) -> IssuedToken:
        """A new token; its secret is known to the caller alone."""
        record, secret = mint(wanted, self._new_id(), self._store.now_ms(), self._chance)
        await self._store.add_token(record)
        return IssuedToken(token=token_view(record, self._store.now_ms()), secret=secret)

    async def all(self, tenant: str | None = None) -> TokenList:
        """Oldest first, revoked and expired ones too."""
        now_ms = self._store.now_ms()
        return TokenList(
            data=[token_view(record, now_ms) for record in await self._store.list_tokens(tenant)]
        )

    async def rotate(self, token_id: str, rotation: Rotation) -> IssuedToken:
        """A new token with the same rights; the old one works until the overlap is over. Raises token_not_found."""
        old = await self._store.get_token(token_id)
        now_ms = self._store.now_ms()
        if old is None or unusable(old, now_ms):
            raise TunegateError("token_not_found")
        lifetime_ms = None if old.expires_ms is None else old.expires_ms - old.created_ms
        same = _wanted(old, None if lifetime_ms is None else lifetime_ms / 1000)
        issued = await self.issue(same)
        await self._end(token_id, now_ms + round(rotation.overlap_s * 1000))
        return issued

    async def revoke(self, token_id: str) -> None:
        """At once here, and within seconds at every other replica. Raises token_not_found."""
        await self._end(token_id, None)

    async def principal(self, presented: str) -> Principal | None:
        """The holder; None for what is no token of this kind. Raises unauthorized, with the reason if it was a good one."""
        token_id = token_id_of(presented)
        if token_id is None:
            return None
        record = await self._find(token_id)
        if record is None or not matches(record, presented):
            raise TunegateError("unauthorized")
        now_ms = self._store.now_ms()
        reason = unusable(record, now_ms)
        if reason is not None:
            raise TunegateError("unauthorized", f"The token is {reason}.")
        self._note_use(record, now_ms)
        return record.principal

    async def write_uses(self) -> None:
        """Write down when tokens were last used. Call it now and then."""
        uses, self._uses = self._uses, {}
        if uses:
            await self._store.note_token_uses(uses)

    async def _keep_notes(self) -> None:
        while True:
            await self._clock.sleep(NOTED_MS / 1000)
            try:
                await self.write_uses()
            except TunegateError:
                logger.warning("the last uses of tokens could not be written")

    async def _find(self, token_id: str) -> TokenRecord | None:
        now_s = self._clock.monotonic_s()
        known = self._recent.get(token_id)
        if known is not None and now_s - known[0] < CACHED_S:
            return known[1]
        record = await self._store.get_token(token_id)
        self._recent[token_id] = (now_s, record)
        self._recent.move_to_end(token_id)
        if len(self._recent) > CACHED:
            self._recent.popitem(last=False)
        return record

    async def _end(self, token_id: str, expires_ms: int | None) -> None:
        ended = await self._store.end_token(token_id, expires_ms)
        self._recent.pop(token_id, None)
        if ended is None:
            raise TunegateError("token_not_found")

    def _note_use(self, record: TokenRecord, now_ms: int) -> None:
        noted_ms = self._uses.get(record.token_id, record.last_used_ms)
        if noted_ms is None or now_ms - noted_ms >= NOTED_MS:
            self._uses[record.token_id] = now_ms


def _wanted(record: TokenRecord, lifetime_s: float | None) -> NewToken:
    whom = msgspec.structs.asdict(record.principal)
    rights = {name: whom[name] for name in NewToken.__struct_fields__ if name in whom}
    return NewToken(
        tenant=record.principal.name, label=record.label, expires_in_s=lifetime_s, **rights
    )
