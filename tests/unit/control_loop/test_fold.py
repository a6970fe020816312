import random
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from support.situations import FAILED, STOPPED, SUCCEEDED, attempt_of, job_in
from tunegate.contract.attempt import (
    CheckpointEvent,
    HeartbeatEvent,
    IgnoredEvent,
    MetricsEvent,
    NoteEvent,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    TrainerEvent,
)
from tunegate.control.fold import Folded, fold
from tunegate.control.records import AttemptRecord, JobRecord, JobState

PROGRESS = ProgressEvent(
    step=120, total_steps=240, epoch=1.5, tokens=61440, tokens_per_s=512.0, eta_s=12.0
)
_finite = st.floats(-1e6, 1e6)
_events = st.one_of(
    st.builds(PhaseEvent, phase=st.sampled_from(["preparing", "training"]), detail=st.text()),
    st.builds(
        ProgressEvent,
        step=st.integers(0, 99),
        total_steps=st.just(99),
        epoch=st.just(0.5),
        tokens=st.integers(0, 9),
        tokens_per_s=st.just(1.0),
    ),
    st.builds(
        MetricsEvent,
        step=st.integers(0, 99),
        values=st.dictionaries(st.sampled_from(["loss", "eval_loss", "lr"]), _finite),
    ),
    st.builds(NoteEvent, text=st.sampled_from(["a", "b", "c"])),
    st.builds(IgnoredEvent, path=st.sampled_from(["$.a", "$.b"]), reason=st.just("no use")),
    st.builds(CheckpointEvent, step=st.integers(0, 9), uri=st.just("s3://b/c"), size_bytes=st.just(1)),
    st.sampled_from([SUCCEEDED, FAILED, STOPPED]),
    st.builds(HeartbeatEvent),
)  # fmt: skip


def numbered(events: Sequence[TrainerEvent]) -> list[SequencedEvent]:
    return [
        SequencedEvent(sequence=number, at_ms=number, event=event)
        for number, event in enumerate(events, 1)
    ]


def start(state: JobState = JobState.RUNNING) -> tuple[JobRecord, AttemptRecord]:
    job = job_in(state)
    return job, attempt_of(job, folded_through=0, received_through=0)


def folded(*events: TrainerEvent, state: JobState = JobState.RUNNING) -> Folded:
    return fold(*start(state), numbered(events))


def test_a_phase_is_the_jobs_phase_and_its_detail_is_what_people_read() -> None:
    result = folded(PhaseEvent(phase="preparing", detail="Reading 3 data sets"))
    assert result.fields == {"phase": "preparing", "detail": "Reading 3 data sets"}
    (event,) = result.events
    assert (event.type, event.phase, event.detail) == (
        "job.phase",
        "preparing",
        "Reading 3 data sets",
    )


def test_a_stopping_job_keeps_its_phase() -> None:
    result = folded(PhaseEvent(phase="saving", detail="Saving step 40"), state=JobState.STOPPING)
    assert result.job.phase == "training"
    assert result.job.detail == "Saving step 40"


def test_progress_reports_of_a_batch_become_one_line() -> None:
    half = msgspec.structs.replace(PROGRESS, step=60)
    result = folded(half, MetricsEvent(step=60, values={"loss": 1.834}), PROGRESS)
    lines = [event for event in result.events if event.type == "job.progress"]
    assert [line.detail for line in lines] == ["Step 120 of 240, loss 1.834, 12 s left"]
    assert result.job.progress is not None
    assert result.job.progress.percent == 50.0
    assert result.job.progress.loss == 1.834


def test_metrics_keep_their_step_and_finite_values() -> None:
    result = folded(MetricsEvent(step=3, values={"loss": 2.0, "grad_norm": float("inf")}))
    assert result.events[0].data == {"step": 3, "values": {"loss": 2.0}}


def test_notes_and_ignored_fields_are_told_once() -> None:
    note, ignored = NoteEvent(text="trains block 0"), IgnoredEvent(path="$.a", reason="no use")
    result = folded(note, ignored, note, ignored)
    assert result.job.notes == ["trains block 0"]
    assert [i.path for i in result.job.ignored] == ["$.a"]
    assert [event.type for event in result.events] == ["job.note", "job.ignored"]


def test_a_checkpoint_is_told_with_its_place() -> None:
    result = folded(CheckpointEvent(step=40, uri="s3://b/checkpoints/step-000040/", size_bytes=9))
    assert result.events[0].data == {
        "step": 40,
        "uri": "s3://b/checkpoints/step-000040/",
        "size_bytes": 9,
    }


def test_the_first_last_word_counts_and_moves_no_state() -> None:
    result = folded(FAILED, SUCCEEDED)
    assert result.attempt.outcome is not None
    assert result.attempt.outcome.event == FAILED
    assert "state" not in result.fields


def test_nothing_counts_after_the_last_word() -> None:
    job, attempt = start()
    late = [NoteEvent(text="late"), PROGRESS, PhaseEvent(phase="training", detail="late")]
    together = fold(job, attempt, numbered([SUCCEEDED, *late]))
    assert (together.job, together.events) == (job, [])
    assert together.attempt.folded_through == 4
    first = fold(job, attempt, numbered([SUCCEEDED]))
    afterwards = fold(first.job, first.attempt, numbered([SUCCEEDED, *late]))
    assert (afterwards.job, afterwards.attempt) == (together.job, together.attempt)


def test_what_follows_a_gap_waits() -> None:
    events = numbered([PhaseEvent(phase="a", detail=""), NoteEvent(text="b"), NoteEvent(text="c")])
    result = fold(*start(), [events[0], events[2]])
    assert result.attempt.folded_through == 1
    assert result.job.notes == []


@given(st.lists(_events, max_size=30), st.randoms(use_true_random=False))
def test_doubled_and_reordered_delivery_changes_nothing(
    events: list[TrainerEvent], chance: random.Random
) -> None:
    items = numbered(events)
    shuffled = items + chance.choices(items, k=len(items)) if items else []
    chance.shuffle(shuffled)
    once, twice = fold(*start(), items), fold(*start(), shuffled)
    assert (once.job, once.attempt, once.events) == (twice.job, twice.attempt, twice.events)


@given(st.lists(_events, max_size=30), st.data())
def test_however_the_events_are_cut_into_batches_the_job_ends_the_same(
    events: list[TrainerEvent], data: st.DataObject
) -> None:
    items = numbered(events)
    job, attempt = start()
    whole = fold(job, attempt, items)
    while attempt.folded_through < len(items):
        # Any overlap with what was folded before must not matter.
        low = data.draw(st.integers(0, attempt.folded_through))
        high = data.draw(st.integers(attempt.folded_through + 1, len(items)))
        part = fold(job, attempt, items[low:high])
        job, attempt = part.job, part.attempt
    assert (job, attempt) == (whole.job, whole.attempt)


@given(st.lists(_events, max_size=30))
def test_fields_and_records_agree(events: list[TrainerEvent]) -> None:
    job, attempt = start()
    result = fold(job, attempt, numbered(events))
    assert msgspec.structs.replace(job, **result.fields) == result.job
    assert msgspec.structs.replace(attempt, **result.attempt_fields) == result.attempt
    assert result.job.state is job.state
