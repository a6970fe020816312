"""The sealer: what it opens, what it refuses, and what its key file must be."""

import base64
import json
from pathlib import Path

import pytest

from tunegate.control.sealer import KeyFileUnsafe, SealBroken, SealContext, Sealer

PLACE = SealContext(tenant="acme", uid="u1", field="secrets")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "seal.json"


def test_opens_what_it_sealed(key_file: Path) -> None:
    sealer = Sealer(key_file)
    sealed = sealer.seal(PLACE, b"hf_token")
    assert b"hf_token" not in sealed
    assert sealer.open(PLACE, sealed) == b"hf_token"
    assert Sealer(key_file).open(PLACE, sealed) == b"hf_token"


def test_equal_values_seal_differently(key_file: Path) -> None:
    sealer = Sealer(key_file)
    assert sealer.seal(PLACE, b"same") != sealer.seal(PLACE, b"same")


@pytest.mark.parametrize(
    "elsewhere",
    [
        SealContext(tenant="other", uid="u1", field="secrets"),
        SealContext(tenant="acme", uid="u2", field="secrets"),
        SealContext(tenant="acme", uid="u1", field="webhook"),
        SealContext(tenant='acme","u1', uid="", field="secrets"),
    ],
)
def test_a_moved_value_does_not_open(key_file: Path, elsewhere: SealContext) -> None:
    sealer = Sealer(key_file)
    with pytest.raises(SealBroken):
        sealer.open(elsewhere, sealer.seal(PLACE, b"secret"))


def test_every_changed_byte_is_noticed(key_file: Path) -> None:
    sealer = Sealer(key_file)
    sealed = sealer.seal(PLACE, b"secret")
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(PLACE, bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(PLACE, sealed[:length])


def test_the_error_says_where_and_not_what(key_file: Path) -> None:
    with pytest.raises(SealBroken, match="'secrets' of job u1"):
        Sealer(key_file).open(PLACE, b"hf_abc")


def test_the_key_file_is_private(key_file: Path) -> None:
    Sealer(key_file)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in key_file.parent.iterdir()] == ["seal.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    Sealer(key_file)
    key_file.chmod(mode)
    with pytest.raises(KeyFileUnsafe, match="0600"):
        Sealer(key_file)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"a": "?"}', '{"a": "c2hvcnQ="}', '{"a\\u0000": "%s"}' % ("A" * 43 + "=")],
)
def test_a_broken_key_file_is_refused_and_kept(key_file: Path, content: str) -> None:
    Sealer(key_file)
    key_file.write_text(content)
    with pytest.raises(KeyFileUnsafe, match="backup"):
        Sealer(key_file)
    assert key_file.read_text() == content


def test_rotation_keeps_old_values_and_digests(key_file: Path) -> None:
    before = Sealer(key_file)
    sealed, digest, hashed = before.seal(PLACE, b"old"), before.digest(b"x"), before.token_hash("t")
    old = json.loads(key_file.read_text())
    key_file.write_text(json.dumps({"new": base64.b64encode(b"k" * 32).decode(), **old}))
    after = Sealer(key_file)
    assert after.open(PLACE, sealed) == b"old"
    assert (after.digest(b"x"), after.token_hash("t")) == (digest, hashed)
    assert after.seal(PLACE, b"fresh").startswith(b"new\0")
    with pytest.raises(SealBroken):
        before.open(PLACE, after.seal(PLACE, b"fresh"))


def test_digests_are_keyed_and_apart(key_file: Path, tmp_path: Path) -> None:
    sealer, other = Sealer(key_file), Sealer(tmp_path / "other.json")
    assert sealer.digest(b"t") == sealer.digest(b"t")
    assert len({sealer.digest(b"t"), sealer.digest(b"u"), other.digest(b"t")}) == 3
    assert sealer.token_hash("t") != sealer.digest(b"t")
    assert len(sealer.digest(b"t")) == len(sealer.token_hash("t")) == 32
