import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from tunegate.control.signing import (
    Signer,
    SigningSecretInvalid,
    new_key_pair,
    new_shared_key,
)

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
BODY = b'{"status":"running"}'


def headers(signer: Signer) -> dict[str, str]:
    now_s = int(datetime.now(UTC).timestamp())
    return {
        "webhook-id": "job-webhook-1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": signer.sign("job-webhook-1", now_s, BODY),
    }


@pytest.mark.parametrize("key", [OLD, NEW])
def test_receivers_with_the_old_or_the_new_key_accept_it(key: str) -> None:
    Webhook(key).verify(BODY, headers(Signer(f"{NEW}\n{OLD}\n")))


def test_others_do_not() -> None:
    stranger = "whsec_" + base64.b64encode(b"s" * 32).decode()
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(stranger).verify(BODY, headers(Signer(NEW)))


def test_a_private_key_signs_for_whoever_has_its_public_half() -> None:
    private, public = new_key_pair()
    signer = Signer(f"{private} {new_shared_key()}")
    signed = headers(signer)
    asymmetric, shared = signed["webhook-signature"].split(" ")
    assert asymmetric.startswith("v1a,")
    assert shared.startswith("v1,")
    assert signer.public_keys == [public]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"job-webhook-1.{signed['webhook-timestamp']}.".encode() + BODY
    key.verify(base64.b64decode(asymmetric.removeprefix("v1a,")), content)


def test_a_private_key_may_carry_its_public_half() -> None:
    private, public = new_key_pair()
    seed = base64.b64decode(private.removeprefix("whsk_"))
    whole = base64.b64encode(seed + base64.b64decode(public.removeprefix("whpk_"))).decode()
    assert Signer(f"whsk_{whole}").public_keys == [public]
    torn = base64.b64encode(seed + bytes(32)).decode()
    with pytest.raises(SigningSecretInvalid, match="belong together"):
        Signer(f"whsk_{torn}")


@pytest.mark.parametrize(
    "bad",
    ["", "  ", "plain", "whsec_!!", "whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "whsk_!!", "whpk_AA=="],
)
def test_a_bad_secret_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(SigningSecretInvalid) as refused:
        Signer(bad)
    assert not bad.strip() or bad not in str(refused.value)
