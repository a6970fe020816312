"""The sealer: what it opens, what it refuses, and what its key file must be."""

import asyncio
import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tunegate.control.key_file import change_ring, read_ring
from tunegate.control.keyring import (
    KeyFileUnsafe,
    derive,
    encode_ring,
    new_ring,
    retiring,
    rotating,
    staging,
)
from tunegate.control.sealer import KEY, SealBroken, SealContext, Sealer, key_id_of

TENANT, UID = "acme", "u1"
PLACE = SealContext(tenant=TENANT, uid=UID, field="secrets")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "seal.json"


async def sealed_by(sealer: Sealer, plain: bytes = b"hf_token") -> tuple[bytes, bytes]:
    fields = await sealer.seal(TENANT, UID, {"secrets": plain})
    return fields["secrets"], fields[KEY]


def first_format(key_file: Path, plain: bytes) -> bytes:
    """As the first release sealed, written down here once more."""
    key_id, key = next(iter(read_ring(key_file).keys.items()))
    bound = msgspec.json.encode([TENANT, UID, "secrets", key_id])
    sealed = AESGCM(derive(key, "seal")).encrypt(b"n" * 12, plain, bound)
    return key_id.encode() + b"\0" + b"n" * 12 + sealed


async def test_opens_what_it_sealed(key_file: Path) -> None:
    sealer = Sealer(key_file)
    sealed, key = await sealed_by(sealer)
    assert b"hf_token" not in sealed + key
    assert await sealer.open(PLACE, sealed, key) == b"hf_token"
    assert await Sealer(key_file).open(PLACE, sealed, key) == b"hf_token"


async def test_every_job_has_a_key_of_its_own(key_file: Path) -> None:
    sealer = Sealer(key_file)
    (first, key), (second, other) = await sealed_by(sealer), await sealed_by(sealer)
    assert first != second
    with pytest.raises(SealBroken):
        await sealer.open(PLACE, first, other)
    with pytest.raises(SealBroken):
        await sealer.open(PLACE, first, None)
    again = await sealer.seal(TENANT, UID, {"secrets": b"later"}, key)
    assert again.keys() == {"secrets"}
    assert await sealer.open(PLACE, again["secrets"], key) == b"later"


names = st.text(max_size=8) | st.sampled_from(["acme", "u1", "secrets", 'acme","u1', ""])


@given(tenant=names, uid=names, field=names)
def test_a_moved_value_does_not_open(tenant: str, uid: str, field: str) -> None:
    elsewhere = SealContext(tenant=tenant, uid=uid, field=field)
    if elsewhere == PLACE:
        return
    sealer, (sealed, key) = _shared()
    with pytest.raises(SealBroken):
        asyncio.run(sealer.open(elsewhere, sealed, key))


async def test_every_changed_byte_is_noticed(key_file: Path) -> None:
    sealer = Sealer(key_file)
    sealed, key = await sealed_by(sealer)
    for broken, whole in ((0, sealed), (1, key)):
        for index in range(len(whole)):
            changed, pair = bytearray(whole), [sealed, key]
            changed[index] ^= 1
            pair[broken] = bytes(changed)
            with pytest.raises(SealBroken):
                await sealer.open(PLACE, *pair)
            pair[broken] = whole[:index]
            with pytest.raises(SealBroken):
                await sealer.open(PLACE, *pair)


async def test_the_error_says_where_and_not_what(key_file: Path) -> None:
    with pytest.raises(SealBroken, match="'secrets' of job u1"):
        await Sealer(key_file).open(PLACE, b"hf_abc", b"hf_def")


async def test_values_of_the_first_format_open(key_file: Path) -> None:
    sealer = Sealer(key_file)
    old = first_format(key_file, b"old")
    assert await sealer.open(PLACE, old, None) == b"old"
    with pytest.raises(SealBroken):
        await sealer.open(msgspec.structs.replace(PLACE, uid="u2"), old, None)
    change_ring(key_file, lambda ring: rotating(ring, NOW))
    assert await Sealer(key_file).open(PLACE, old, None) == b"old"


async def test_a_running_gateway_notices_a_rotation(key_file: Path) -> None:
    one, other = Sealer(key_file), Sealer(key_file)
    old = await sealed_by(one)
    ring = change_ring(key_file, lambda ring: rotating(ring, NOW + timedelta(days=400)))
    fresh = await sealed_by(one)
    assert key_id_of(fresh[1]) == ring.active == one.active
    assert await other.open(PLACE, *fresh) == b"hf_token"
    assert await other.open(PLACE, *old) == b"hf_token"
    rewrapped = await one.rewrapped(msgspec.structs.replace(PLACE, field=KEY), old[1])
    assert key_id_of(rewrapped) == ring.active
    change_ring(key_file, lambda ring: retiring(ring, key_id_of(old[1])))
    late = Sealer(key_file)
    assert await late.open(PLACE, old[0], rewrapped) == b"hf_token"
    with pytest.raises(SealBroken):
        await late.open(PLACE, *old)


def test_a_staged_key_is_known_before_it_is_used(key_file: Path) -> None:
    ring = read_ring(key_file)
    staged = staging(ring, NOW)  # even where the clock runs behind the first key's
    assert (staged.active, staging(staged, NOW)) == (ring.active, staged)
    assert staged.staged is not None
    promoted = rotating(staged, NOW)
    assert (promoted.active, promoted.staged) == (staged.staged, None)
    assert rotating(promoted, NOW).active not in staged.keys
    with pytest.raises(ValueError, match=promoted.active):
        retiring(promoted, promoted.active)


def test_digests_survive_rotation_and_retirement(key_file: Path) -> None:
    before = Sealer(key_file)
    first = before.active
    was = before.digest(b"x"), before.token_hash("t")
    change_ring(key_file, lambda ring: retiring(rotating(ring, NOW), first))
    after = Sealer(key_file)
    assert (after.digest(b"x"), after.token_hash("t")) == was
    assert first not in read_ring(key_file).keys


def test_digests_of_the_first_ring_format_stay(key_file: Path) -> None:
    key_file.parent.mkdir(mode=0o700)
    key_file.touch(0o600)
    key_file.write_text(json.dumps({"old": base64.b64encode(b"k" * 32).decode()}))
    before = Sealer(key_file)
    was = before.digest(b"x"), before.token_hash("t")
    change_ring(key_file, lambda ring: retiring(rotating(ring, NOW), "old"))
    after = Sealer(key_file)
    assert (after.digest(b"x"), after.token_hash("t")) == was
    assert base64.b64encode(b"k" * 32) not in key_file.read_bytes()


def test_digests_are_keyed_and_apart(key_file: Path, tmp_path: Path) -> None:
    sealer, other = Sealer(key_file), Sealer(tmp_path / "other.json")
    assert sealer.digest(b"t") == sealer.digest(b"t")
    assert len({sealer.digest(b"t"), sealer.digest(b"u"), other.digest(b"t")}) == 3
    assert sealer.token_hash("t") != sealer.digest(b"t")
    assert len(sealer.digest(b"t")) == len(sealer.token_hash("t")) == 32


def test_the_key_file_is_private(key_file: Path) -> None:
    ring = read_ring(key_file)
    change_ring(key_file, lambda ring: rotating(ring, NOW))
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in key_file.parent.iterdir()] == ["seal.json"]
    assert str(ring.keys[ring.active]) not in repr(ring)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    read_ring(key_file)
    key_file.chmod(mode)
    with pytest.raises(KeyFileUnsafe, match="0600"):
        read_ring(key_file)


@pytest.mark.parametrize(
    ("owner", "mode", "fine"),
    [(1234, 0o600, False), (0, 0o440, True), (0, 0o460, False), (0, 0o444, False)],
)
def test_whose_key_file_it_may_be(
    key_file: Path, monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, fine: bool
) -> None:
    read_ring(key_file)
    found = list(key_file.stat())
    found[0], found[4] = 0o100000 | mode, owner
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(found))
    if fine:
        read_ring(key_file)
        return
    with pytest.raises(KeyFileUnsafe):
        read_ring(key_file)


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "[]", '{"a": "?"}', '{"a": "c2hvcnQ="}', '{"a\\u0000": "%s"}' % ("A" * 43 + "="),
        '{"digest": "%s"}' % ("A" * 86 + "=="), '{"a": "%s", "digest": "AAAA"}' % ("A" * 43 + "="),
    ],
)  # fmt: skip
async def test_a_broken_key_file_is_refused_and_kept(key_file: Path, content: str) -> None:
    running = Sealer(key_file)
    sealed = await sealed_by(running)
    key_file.write_text(content)
    with pytest.raises(KeyFileUnsafe, match="backup"):
        Sealer(key_file)
    assert key_file.read_text() == content
    # A gateway that runs goes on with what it read before.
    assert running.active
    assert await running.open(PLACE, *sealed) == b"hf_token"


def test_of_gateways_that_start_together_one_makes_the_key(key_file: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: read_ring(key_file), range(64)))
    assert len({ring.active for ring in rings}) == 1
    assert [path.name for path in key_file.parent.iterdir()] == ["seal.json"]


def test_changes_at_the_same_time_all_count(key_file: Path) -> None:
    read_ring(key_file)

    def rotate(_: int) -> None:
        change_ring(key_file, lambda ring: rotating(ring, NOW))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rotate, range(24)))
    assert len(read_ring(key_file).keys) == 25


_made: list[tuple[Sealer, tuple[bytes, bytes]]] = []


def _shared() -> tuple[Sealer, tuple[bytes, bytes]]:
    """One sealed value for all examples of a property."""
    if not _made:
        import tempfile

        folder = Path(tempfile.mkdtemp())
        file = folder / "key"
        file.touch(0o600)
        file.write_bytes(encode_ring(new_ring(NOW)))
        sealer = Sealer(file)
        _made.append((sealer, asyncio.run(sealed_by(sealer))))
    return _made[0]
