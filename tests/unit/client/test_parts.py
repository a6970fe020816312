"""The parts that decide: SSE, retries, what a job's events add up to."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.door import job
from tunegate.client.display import Card, NotebookDisplay, TextDisplay
from tunegate.client.progress import JobView, duration, line
from tunegate.client.retrying import Retrying, retry_after_s
from tunegate.client.sse import Message, SseParser
from tunegate.contract.job import JobEvent

STREAM = "retry: 2000\r\n\r\nid: 1\r\nevent: a\r\ndata: one\r\ndata: é\r\n\r\n: ping\n\ndata:two\nid: 2\n\ndata: cut".encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_events_come_whole_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    parser, found = SseParser(), list[Message]()
    borders = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(borders):
        found += parser.feed(STREAM[start:end])
    assert found == [Message("a", "one\né", "1"), Message("", "two", "2")]
    assert parser.retry_s == 2.0


def test_pauses_double_and_end() -> None:
    patient = Retrying(tries=4, first_s=1, longest_s=3)
    assert [patient.pause_s(n, None, 0.5) for n in (1, 2, 3, 4)] == [1, 2, 3, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", 7), ("", None), ("soon", None), ("-1", None), ("Thu, 01 Jan 2026 00:01:00 GMT", 60)],
)
def test_retry_after(text: str, expected: float | None) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after_s({"retry-after": text}, now) == expected


def happened(type_: str, attempt: int = 1, **data: object) -> JobEvent:
    return JobEvent(
        sequence=1, type=type_, status="running", phase="training", detail="d", attempt=attempt,
        timestamp="2026-01-01T00:00:00Z", data=data,
    )  # fmt: skip


PROGRESS = {
    "step": 5, "total_steps": 10, "percent": 50.0, "epoch": 1.0, "tokens": 9, "tokens_per_s": 1.0, "eta_s": 75.0,
}  # fmt: skip


def test_a_view_adds_up_and_a_new_attempt_starts_its_curve_anew() -> None:
    view = JobView.of(job("<b>")).after(happened("job.progress", **PROGRESS))
    for step in (1, 2):
        view = view.after(happened("job.metrics", step=step, values={"loss": 1.0 / step}))
    assert line(view) == "<b>  running  training  50%  step 5/10  loss 0.5  1 min 15 s left"
    assert view.losses == [(1, 1.0), (2, 0.5)]
    html = Card(view)._repr_html_()
    assert "<b>&lt;b&gt;</b>" in html
    assert "<polyline" in html
    again = view.after(happened("job.metrics", 2, step=1, values={"loss": 3.0}))
    assert again.losses == [(1, 3.0)]


def test_a_notebook_s_cell_is_updated_in_place() -> None:
    shown: list[object] = []

    class Handle:
        def update(self, card: object) -> None:
            shown.append(card)

    def display(card: object, display_id: bool) -> Handle:
        shown.append(card)
        return Handle()

    notebook = NotebookDisplay(display)
    notebook.update(JobView.of(job("a")))
    notebook.close(JobView.of(job("a", status="succeeded")))
    assert [repr(card) for card in shown] == [
        "a  queued  Job accepted",
        "a  succeeded  queued  Job accepted",
    ]


def test_text_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    text = TextDisplay()
    for _ in range(3):
        text.update(JobView.of(job("a")))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("s", "text"), [(None, "-"), (12.4, "12 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")]
)
def test_durations(s: float | None, text: str) -> None:
    assert duration(s) == text
