import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from tunegate.telemetry import bound, configure, get_logger

CANARY = "c4n4ry"


@pytest.fixture(autouse=True)
def logs_restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    logging.raiseExceptions = True
    root.handlers = before
    root.setLevel(level)


def fail() -> None:
    raise ValueError(CANARY)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_known_fields_are_written_and_all_others_dropped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(console=False)
    with bound(job_id="job-1"):
        get_logger("tunegate.x").info("started", attempt=2, token=CANARY, detail=CANARY)
    (line,) = lines(capsys)
    assert (line["event"], line["job_id"], line["attempt"], line["level"]) == (
        "started",
        "job-1",
        2,
        "info",
    )
    assert CANARY not in str(line)


def test_our_own_messages_come_through_their_tracebacks_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(console=False)
    logger = logging.getLogger("tunegate.control.x")
    try:
        fail()
    except ValueError:
        logger.exception("job %s: failed", "job-1")
    (line,) = lines(capsys)
    assert line["event"] == "job job-1: failed"
    assert line["error_type"] == "ValueError"
    assert "test_telemetry.py" in str(line["where"])
    assert CANARY not in str(line)


def test_libraries_say_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    configure(console=False)
    try:
        fail()
    except ValueError:
        logging.getLogger("aiohttp.client").warning(
            "to %s", CANARY, exc_info=True, extra={"token": CANARY}
        )
    logging.getLogger("botocore").info("quiet")
    (line,) = lines(capsys)
    assert str(line["event"]).startswith("aiohttp.client:")
    assert CANARY not in str(line)


def test_a_terminal_gets_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure(console=True)
    get_logger("tunegate.y").warning("odd", job_id="job-1", token=CANARY)
    text = capsys.readouterr().err
    assert "odd" in text
    assert "job-1" in text
    assert CANARY not in text


def test_trouble_with_logging_itself_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure(console=False)
    logging.getLogger("tunegate.z").warning("%d", CANARY)
    assert CANARY not in capsys.readouterr().err
