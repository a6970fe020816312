"""A Secret does not get out by accident."""

import copy
import dataclasses
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest

from tunegate.contract.secret import Secret

CLEAR = "hunter2"


@dataclasses.dataclass
class Holder:
    secret: Secret


class Struct(msgspec.Struct):
    secret: Secret


SHOWN: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda s: f"{s} {s!r} {s!s:>20} {s:>20}",
    "percent": lambda s: "%s %r" % (s, s),  # noqa: UP031
    "list": lambda s: str([s, {"k": s}, (s,)]),
    "dataclass": lambda s: repr(Holder(s)),
    "struct": lambda s: repr(Struct(s)),
    "exception": lambda s: repr(ValueError(s)) + str(ValueError("x", s)),
}
REFUSED: dict[str, Callable[[Secret], object]] = {
    "json": json.dumps,
    "msgspec json": msgspec.json.encode,
    "msgspec struct": lambda s: msgspec.json.encode(Struct(s)),
    "msgpack": msgspec.msgpack.encode,
    "builtins": msgspec.to_builtins,
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "asdict": lambda s: dataclasses.asdict(Holder(s)),
    "vars": vars,
    "state": lambda s: s.__getstate__(),
    "iter": iter,  # type: ignore[dict-item]
    "bytes": bytes,  # type: ignore[dict-item]
}


@pytest.mark.parametrize("way", SHOWN)
def test_it_is_shown_redacted(way: str) -> None:
    text = SHOWN[way](Secret(CLEAR))
    assert CLEAR not in text
    assert "***" in text


@pytest.mark.parametrize("way", REFUSED)
def test_it_is_not_encoded(way: str) -> None:
    with pytest.raises(TypeError) as caught:
        REFUSED[way](Secret(CLEAR))
    assert CLEAR not in str(caught.value)


def test_logs_and_tracebacks_do_not_hold_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(CLEAR)
    try:
        raise ValueError(secret)  # noqa: TRY301
    except ValueError as error:
        logging.getLogger("x").exception("failed with %s %r", secret, [secret])
        full = traceback.TracebackException.from_exception(error, capture_locals=True)
        text = "".join(full.format())
    assert "secret" in text
    assert CLEAR not in caplog.text
    assert CLEAR not in text
