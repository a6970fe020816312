import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tunegate.control.signing import Signer, SigningSecretInvalid

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


@pytest.mark.parametrize("bad", ["", "  ", "plain", "whsec_!!", "whsec_c2hvcnQ="])
def test_a_bad_secret_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(SigningSecretInvalid) as refused:
        Signer(bad)
    assert not bad.strip() or bad not in str(refused.value)
