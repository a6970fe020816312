"""Tokens made through the API open the door; those of an identity provider too."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from litestar import Litestar
from litestar.testing import AsyncTestClient

from support.door import ADMIN, TOKENS, FakeJobs, count_jobs, job
from tunegate.control.store.sqlite import SqliteStore
from tunegate.control.token_keeper import TokenKeeper
from tunegate.http.app import create_app
from tunegate.http.auth import Authenticator
from tunegate.http.facade import Context
from tunegate.http.meters import Meters
from tunegate.http.oidc import (
    KEYS_FOR_S,
    REFETCH_S,
    REMEMBERED_S,
    OidcRule,
    OidcSettings,
    OidcVerifier,
    principal_of,
)
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.testing.clock import FakeClock

Client = AsyncTestClient[Litestar]
ISSUER = "https://login.example/realm"


@pytest.fixture
async def client(tmp_path: Path, jobs: FakeJobs) -> AsyncIterator[Client]:
    clock = SystemClock()
    store = SqliteStore(tmp_path / "jobs.db", clock)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await store.open()  # on the loop that the application runs in
        yield
        await store.close()

    keeper, server = TokenKeeper(store, clock), ServerSettings(access_log=False)
    context = Context(jobs, server, Streams(10), Meters(count_jobs), keeper)
    authenticator = Authenticator(TOKENS, [keeper.principal], metrics_open=False)
    app = create_app(context, authenticator, lifespan)
    async with AsyncTestClient(app, base_url="http://127.0.0.1") as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def made(client: Client, **wanted: Any) -> dict[str, Any]:
    answer = await client.post("/tokens", json={"tenant": "acme"} | wanted, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_made_token_works_until_it_is_revoked(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    token = await made(client, label="Ann", max_gpus=2)
    assert token["token"]["usable"]
    holder = bearer(token["secret"])
    assert (await client.get("/train/a", headers=holder)).status_code == 200
    listed = (await client.get("/tokens?tenant=acme", headers=ADMIN)).json()["data"]
    assert [each["label"] for each in listed] == ["Ann"]
    assert token["secret"] not in json.dumps(listed)
    path = f"/tokens/{token['token']['token_id']}"
    assert (await client.delete(path, headers=holder)).status_code == 403
    assert (await client.delete(path, headers=ADMIN)).status_code == 204
    answer = await client.get("/train/a", headers=holder)
    assert (answer.status_code, answer.json()["detail"]) == (401, "The token is revoked.")
    again = await client.post(f"{path}/rotate", headers=ADMIN)
    assert (again.status_code, again.json()["code"]) == (404, "token_not_found")


async def test_a_made_token_may_be_an_admins_or_a_readers(client: Client, jobs: FakeJobs) -> None:
    jobs.add(job("a"))
    admin = bearer((await made(client, admin=True))["secret"])
    assert (await client.get("/tokens", headers=admin)).status_code == 200
    reader = bearer((await made(client, read_only=True))["secret"])
    assert (await client.get("/train/a", headers=reader)).status_code == 200
    assert (await client.delete("/train/a", headers=reader)).status_code == 403


async def test_a_rotation_overlaps(client: Client) -> None:
    old = await made(client)
    path = f"/tokens/{old['token']['token_id']}/rotate"
    new = (await client.post(path, json={"overlap_s": 0}, headers=ADMIN)).json()
    assert (await client.get("/train", headers=bearer(new["secret"]))).status_code == 200
    answer = await client.get("/train", headers=bearer(old["secret"]))
    assert answer.json()["detail"] == "The token is expired."


@pytest.mark.parametrize(
    "wrong",
    [{}, {"tenant": ""}, {"tenant": "a", "max_gpus": -1}, {"tenant": "a", "backend": ["x"]}],
)
async def test_a_wrong_wish_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    answer = await client.post("/tokens", json=wrong, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


class Provider:
    """An identity provider: its keys, and what it was asked for."""

    def __init__(self) -> None:
        self.clock = FakeClock(int(time.time() * 1000))
        self.keys: dict[str, Any] = {"one": rsa.generate_private_key(65537, 2048)}
        self.asked: list[str] = []
        self.down = False
        settings = OidcSettings(
            issuer=ISSUER,
            audience="tunegate",
            rules=[
                OidcRule(claim="groups", value="ops", tenant="operators", admin=True),
                OidcRule(claim="groups", value="ml", tenant="ml", max_gpus=8),
                OidcRule(claim="realm.team"),
            ],
        )
        self.verifier = OidcVerifier(settings, self.fetch, self.clock)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise OSError("down")
        if url.endswith("openid-configuration"):
            return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}).encode()
        found = []
        for kid, key in self.keys.items():
            algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm  # fmt: skip
            found.append(json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid})
        return json.dumps({"keys": found}).encode()

    def token(self, *, kid: str = "one", signed_by: Any = None, **claims: Any) -> str:
        now_s = self.clock.now_ms() // 1000
        plain = {"iss": ISSUER, "aud": "tunegate", "sub": "ann", "exp": now_s + 300, "groups": ["ml"]}  # fmt: skip
        key = signed_by or self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        body = {name: value for name, value in (plain | claims).items() if value is not None}
        return jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid})


async def test_a_member_of_a_group_is_its_tenant() -> None:
    provider = Provider()
    found = await provider.verifier.principal(provider.token())
    assert found is not None
    assert (found.name, found.max_gpus, found.admin, found.token) == ("ml", 8, False, "oidc:ann")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"exp": None},
        {"sub": None},
        {"exp": 1_000_000_000},
        {"nbf": 4_000_000_000},
        {"exp": "soon"},
    ],
)
async def test_a_token_that_is_not_for_us_is_refused(claims: dict[str, Any]) -> None:
    provider = Provider()
    with pytest.raises((TunegateError, TypeError)) as refused:
        await provider.verifier.principal(provider.token(**claims))
    assert isinstance(refused.value, TunegateError) or claims == {"exp": "soon"}


async def test_a_strangers_signature_is_refused() -> None:
    provider = Provider()
    stranger = rsa.generate_private_key(65537, 2048)
    with pytest.raises(TunegateError, match="unauthorized"):
        await provider.verifier.principal(provider.token(signed_by=stranger))
    head, body, _ = provider.token().split(".")
    with pytest.raises(TunegateError, match="unauthorized"):
        await provider.verifier.principal(f"{head}.{body}.")
    unsigned = jwt.encode(jwt.decode(provider.token(), options={"verify_signature": False}), None, algorithm="none")  # fmt: skip
    with pytest.raises(TunegateError, match="unauthorized"):
        await provider.verifier.principal(unsigned)


async def test_tokens_of_others_are_left_to_others() -> None:
    provider = Provider()
    for other in ("", "plain", "a.b.c", "ey.x.y", provider.token(iss="https://other.example")):
        assert await provider.verifier.principal(other) is None
    assert provider.asked == []


async def test_a_new_key_is_found_and_not_looked_for_all_the_time() -> None:
    provider = Provider()
    await provider.verifier.principal(provider.token())
    provider.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(TunegateError, match="unauthorized"):
        await provider.verifier.principal(provider.token(kid="two"))
    provider.clock.step(REFETCH_S + 1)
    assert await provider.verifier.principal(provider.token(kid="two"))
    assert len(provider.asked) == 4


async def test_known_keys_stay_good_while_the_provider_is_away() -> None:
    provider = Provider()
    await provider.verifier.principal(provider.token())
    provider.down = True
    provider.clock.step(KEYS_FOR_S + 1)
    assert await provider.verifier.principal(provider.token(sub="bob"))
    fresh = Provider()
    fresh.down = True
    with pytest.raises(TunegateError, match="unavailable"):
        await fresh.verifier.principal(fresh.token())


async def test_a_remembered_token_is_not_remembered_beyond_its_end() -> None:
    provider = Provider()
    token = provider.token(exp=provider.clock.now_ms() // 1000 + 10)
    assert await provider.verifier.principal(token)
    provider.clock.step(10 + REMEMBERED_S + 1)
    with pytest.raises(TunegateError, match="expired"):
        await provider.verifier.principal(token)


def test_rules() -> None:
    rules = Provider().verifier._settings.rules
    assert principal_of({"sub": "a", "groups": ["ml", "ops"]}, rules).admin
    assert principal_of({"sub": "a", "realm": {"team": "blue"}}, rules).name == "oidc:blue"
    assert principal_of({"sub": "a", "realm.team": "operators"}, rules).name == "oidc:operators"
    with pytest.raises(TunegateError, match="forbidden"):
        principal_of({"sub": "a", "groups": "mlx"}, rules)
