"""Bearer tokens of an OpenID Connect provider: verified here, with keys that are fetched from it."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jwt
import msgspec

from tunegate.contract.base import Strict
from tunegate.contract.request import Name
from tunegate.control.principal import Principal
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import TunegateError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures of a private key only: with a shared one whoever can verify could sign."""
LEEWAY_S = 60.0
KEYS_FOR_S = 600.0
"""So long fetched keys are used; a key that they lack is looked for anew, but not more often than REFETCH_S."""
REFETCH_S = 30.0
REMEMBERED_S = 60.0
REMEMBERED = 10_000
NAME_LENGTH = 512

Fetch = Callable[[str], Awaitable[bytes]]
"""An https address to the body of its answer. Raises OSError-like errors of the egress client."""


class OidcRule(Strict):
    """Whom a claim's value lets in, and as what. The first rule that fits counts."""

    claim: str
    """The claim that is looked at; dots lead into objects (`realm_access.roles`)."""
    value: str | None = None
    """The value that it must have, or hold if it is a list (not set = any)."""
    tenant: Name | None = None
    """Whose jobs they are (not set = the claim's own value behind `oidc:`)."""
    read_only: bool = False
    """May look, may not submit, cancel, retry or forget."""
    admin: bool = False
    """May make and revoke tokens, and read the audit log."""
    uri_prefixes: list[str] | None = None
    """Data, weights and results must lie below one of these (not set = anywhere)."""
    backends: list[str] | None = None
    """Backends that may be used (not set = any)."""
    launchers: list[str] | None = None
    """Launchers that may be used (not set = any)."""
    max_gpus: int | None = None
    """GPUs that the tenant's running jobs may hold; further jobs wait (not set = no limit)."""
    max_jobs: int | None = None
    """Unfinished jobs that the tenant may have at once (not set = no limit)."""


class OidcSettings(Strict):
    """An OpenID Connect provider whose tokens are taken; its discovery document leads to its keys."""

    issuer: str
    """The provider's address, as it stands in `iss`."""
    audience: str
    """What stands in `aud`: this gateway's name at the provider."""
    rules: list[OidcRule] = []
    """Who may come in; whoever no rule fits may not."""


class OidcVerifier:
    """Finds the principal of a token of the provider."""

    def __init__(self, settings: OidcSettings, fetch: Fetch, clock: Clock) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s: float | None = None
        self._fetching = asyncio.Lock()
        self._known: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    async def principal(self, presented: str) -> Principal | None:
        """The holder; None for what is no JWT of this issuer. Raises unauthorized, unavailable."""
        if presented.count(".") != 2 or not presented.startswith("ey"):
            return None
        now_s = self._clock.monotonic_s()
        known = self._known.get(presented)
        if known is not None and now_s < known[0]:
            return known[1]
        claims = await self._verified(presented)
        if claims is None:
            return None
        principal = principal_of(claims, self._settings.rules)
        left_s = float(claims["exp"]) - self._clock.now_ms() / 1000
        self._known[presented] = (now_s + min(REMEMBERED_S, left_s), principal)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _verified(self, presented: str) -> dict[str, Any] | None:
        try:
            header = jwt.get_unverified_header(presented)
            unverified = jwt.decode(presented, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        if unverified.get("iss") != self._settings.issuer:
            return None
        key = await self._key(header.get("kid"))
        try:
            claims: dict[str, Any] = jwt.decode(
                presented,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    # Times are checked below, on our own clock.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError:
            raise TunegateError("unauthorized") from None
        _check_times(claims, self._clock.now_ms() / 1000)
        return claims

    async def _key(self, kid: object) -> jwt.PyJWK:
        """The provider's key of this name, or its only one."""
        async with self._fetching:
            age_s = None if self._fetched_s is None else self._clock.monotonic_s() - self._fetched_s
            missing = _pick(self._keys, kid) is None
            if age_s is None or age_s > KEYS_FOR_S or (missing and age_s > REFETCH_S):
                await self._refresh()
        key = _pick(self._keys, kid)
        if key is None:
            raise TunegateError("unauthorized")
        return key

    async def _refresh(self) -> None:
        try:
            base = self._settings.issuer.rstrip("/")
            found = json.loads(await self._fetch(f"{base}/.well-known/openid-configuration"))
            if found["issuer"] != self._settings.issuer:
                raise ValueError("the document is another issuer's")  # noqa: TRY301
            keys = jwt.PyJWKSet.from_json((await self._fetch(found["jwks_uri"])).decode())
        except Exception as error:
            if self._keys:  # known keys stay good while the provider is out of reach
                self._fetched_s = self._clock.monotonic_s()
                return
            sentence = "The identity provider can't be reached."
            raise TunegateError("unavailable", sentence, retry_after_s=10) from error
        self._keys = {
            str(key.key_id): key for key in keys.keys if key.public_key_use in (None, "sig")
        }
        self._fetched_s = self._clock.monotonic_s()


def principal_of(claims: Mapping[str, Any], rules: list[OidcRule]) -> Principal:
    """Whom the first rule that fits makes of the holder. Pure. Raises forbidden."""
    for rule in rules:
        tenant = _tenant(rule, _claim(claims, rule.claim))
        if tenant is not None:
            given = msgspec.structs.asdict(rule)
            limits = {name: given[name] for name in Principal.__struct_fields__ if name in given}
            return Principal(name=tenant, token=f"oidc:{claims['sub']}", **limits)
    raise TunegateError("forbidden", "No rule of the operator lets this identity in.")


def _tenant(rule: OidcRule, found: object) -> str | None:
    values = [value for value in (found if isinstance(found, list) else [found]) if value]
    if not values or (rule.value is not None and rule.value not in values):
        return None
    if rule.tenant is not None:
        return rule.tenant
    # Behind a prefix, so that nobody becomes a configured tenant by taking its name at the provider.
    name = f"oidc:{rule.value if rule.value is not None else values[0]}"
    return name if len(name) <= NAME_LENGTH else None


def _claim(claims: Mapping[str, Any], path: str) -> object:
    if path in claims:  # names of claims may hold dots, as URLs do
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None  # pyright: ignore[reportUnknownMemberType]
    return found


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    expires, not_before = claims["exp"], claims.get("nbf", 0)
    if not isinstance(expires, int | float) or not isinstance(not_before, int | float):
        raise TunegateError("unauthorized")
    if now_s > expires + LEEWAY_S:
        raise TunegateError("unauthorized", "The token is expired.")
    if now_s < not_before - LEEWAY_S:
        raise TunegateError("unauthorized", "The token is not valid yet.")


def _pick(keys: Mapping[str, jwt.PyJWK], kid: object) -> jwt.PyJWK | None:
    if kid is None:
        return next(iter(keys.values())) if len(keys) == 1 else None
    return keys.get(str(kid))
