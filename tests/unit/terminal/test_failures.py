import json

import pytest

from tunegate.client.errors import GatewayUnreachable, ProfileUnusable, error_of
from tunegate.contract.problems import Problem
from tunegate.sdk.errors import TunegateError
from tunegate.terminal.exits import ExitCode, of_status
from tunegate.terminal.failures import Failure, report

Printed = pytest.CaptureFixture[str]
PROBLEM = (
    b'{"type": "t", "title": "T", "status": %d, "code": "some_code", "detail": "D.", "advice": "Do A.",'
    b' "errors": [{"path": "$.x", "code": "c", "message": "is wrong"}]}'
)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ExitCode.INVALID), (413, ExitCode.INVALID), (422, ExitCode.INVALID), (401, ExitCode.DENIED),
        (403, ExitCode.DENIED), (404, ExitCode.NOT_FOUND), (409, ExitCode.CONFLICT), (429, ExitCode.UNAVAILABLE),
        (500, ExitCode.UNAVAILABLE), (503, ExitCode.UNAVAILABLE), (418, ExitCode.FAILED),
    ],
)  # fmt: skip
def test_answers_of_a_gateway(status: int, code: ExitCode, capsys: Printed) -> None:
    error = error_of(status, PROBLEM % status, None)
    assert report(error, as_json=False) == code
    assert capsys.readouterr().err.splitlines() == [
        "tunegate: some_code: D.",
        "  $.x: is wrong",
        "  Do A."
        if status != 401
        else "  Put a token into TUNEGATE_TOKEN, or save one: tunegate login URL",
    ]
    assert report(error, as_json=True) == code
    told = json.loads(capsys.readouterr().err)
    assert told["exit_code"] == code
    assert told["error"]["code"] == "some_code"
    assert told["error"]["errors"] == [{"path": "$.x", "code": "c", "message": "is wrong"}]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure(["a", "b"]), ExitCode.FAILED),
        (GatewayUnreachable("http://x: refused"), ExitCode.UNAVAILABLE),
        (ProfileUnusable("no address"), ExitCode.USAGE),
        (TunegateError("storage_unavailable", "It is away."), ExitCode.FAILED),
        (
            TunegateError("invalid_job", "One.", problems=[Problem(path="$.x", code="c", message="m")]),
            ExitCode.INVALID,
        ),
    ],
)  # fmt: skip
def test_other_trouble(error: Exception, code: ExitCode, capsys: Printed) -> None:
    assert report(error, as_json=False) == code
    assert capsys.readouterr().err.startswith("tunegate: ")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        report(ZeroDivisionError(), as_json=True)


def test_codes_and_what_became_of_jobs() -> None:
    assert len({int(code) for code in ExitCode}) == len(ExitCode)
    assert all(code.meaning for code in ExitCode)
    ends = {status: of_status(status) for status in ("succeeded", "failed", "cancelled")}
    assert ends == {"succeeded": 0, "failed": 8, "cancelled": 9}
