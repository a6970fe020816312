"""Tokens that operators make: how they are written, kept and checked. Pure."""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Literal

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.secret import Secret
from tunegate.contract.tokens import NewToken, Token
from tunegate.control.principal import Principal
from tunegate.control.timestamps import rfc3339

_FORM = re.compile(r"tg_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
"""Tells secret scanners what it is; the id leads to the row, the secret is 256 bits of chance."""

RandomText = Callable[[int], str]
"""(bytes of chance) to URL-safe base64, as `secrets.token_urlsafe` gives it."""
Unusable = Literal["revoked", "expired"]


class TokenRecord(Wire):
    """A token at rest: the hash of its secret, and whom it stands for. Times in ms since 1970."""

    token_id: str
    digest: bytes
    principal: Principal
    label: str
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None


def mint(
    wanted: NewToken, token_id: str, now_ms: int, chance: RandomText
) -> tuple[TokenRecord, Secret]:
    """A fresh record and the token that its holder presents."""
    secret = Secret(f"tg_{token_id}_{chance(32)}")
    given = msgspec.structs.asdict(wanted)
    limits = {name: given[name] for name in Principal.__struct_fields__ if name in given}
    lifetime_s = wanted.expires_in_s
    record = TokenRecord(
        token_id=token_id,
        digest=digest_of(secret.reveal()),
        principal=Principal(name=wanted.tenant, token=token_id, **limits),
        label=wanted.label,
        created_ms=now_ms,
        expires_ms=None if lifetime_s is None else now_ms + round(lifetime_s * 1000),
    )
    return record, secret


def token_id_of(presented: str) -> str | None:
    """The id in a token of this form; None for any other text."""
    match = _FORM.fullmatch(presented)
    return match[1] if match else None


def matches(record: TokenRecord, presented: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(record.digest, digest_of(presented))


def digest_of(presented: str) -> bytes:
    """A plain hash suffices: nobody guesses 256 bits."""
    return hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()


def unusable(record: TokenRecord, now_ms: int) -> Unusable | None:
    """Why a token is not good any more."""
    if record.revoked_ms is not None and record.revoked_ms <= now_ms:
        return "revoked"
    if record.expires_ms is not None and record.expires_ms <= now_ms:
        return "expired"
    return None


def token_view(record: TokenRecord, now_ms: int) -> Token:
    """The record as it may be shown."""
    whom = record.principal
    return Token(
        token_id=record.token_id,
        tenant=whom.name,
        label=record.label,
        read_only=whom.read_only,
        admin=whom.admin,
        uri_prefixes=whom.uri_prefixes,
        backends=whom.backends,
        launchers=whom.launchers,
        max_gpus=whom.max_gpus,
        max_jobs=whom.max_jobs,
        created_at=rfc3339(record.created_ms),
        expires_at=_time(record.expires_ms),
        revoked_at=_time(record.revoked_ms),
        last_used_at=_time(record.last_used_ms),
        usable=unusable(record, now_ms) is None,
    )


def _time(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else rfc3339(moment_ms)
