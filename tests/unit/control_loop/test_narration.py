from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.job_samples import event, job
from tunegate.contract.job import Progress
from tunegate.control.narration import LOG_MAX_BYTES, log_line, one_line, progress_line
from tunegate.control.records import JobState
from tunegate.sdk.errors import job_error

PROGRESS = Progress(
    step=120, total_steps=240, percent=50, epoch=1, tokens=1, tokens_per_s=1, eta_s=12, loss=1.83
)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "Step 120 of 240, loss 1.83, 12 s left"),
        ({"eta_s": 600.0}, "Step 120 of 240, loss 1.83, 10 min left"),
        ({"eta_s": 9000.0}, "Step 120 of 240, loss 1.83, 2 h 30 min left"),
        ({"eta_s": None, "loss": None}, "Step 120 of 240"),
    ],
)
def test_progress_reads_like_a_sentence(fields: dict[str, Any], line: str) -> None:
    assert progress_line(msgspec.structs.replace(PROGRESS, **fields)) == line


def test_a_failure_says_why_and_what_to_do() -> None:
    failed = job(state=JobState.FAILED, error=job_error("data_invalid", "line 7 is not JSON"))
    line = log_line(failed, event("line 7 is not JSON", status="failed"))
    assert line == "Failed: line 7 is not JSON. Mend the row that the message names."


def test_a_success_says_where_the_result_is() -> None:
    line = log_line(job(state=JobState.SUCCEEDED), event("Trained 9 steps", status="succeeded"))
    assert line == "Succeeded: Trained 9 steps. The result is in s3://bucket/out/job-1/"


@given(st.text())
def test_a_log_is_one_short_line_and_never_empty(text: str) -> None:
    line = log_line(job(), event(text * 50))
    assert line
    assert line.splitlines() == [line]
    assert len(line.encode()) <= LOG_MAX_BYTES


def test_control_characters_become_spaces() -> None:
    assert one_line("a\r\n\tb\x00\x1bc\u2028d") == "a b c d"
