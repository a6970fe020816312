"""`decide`, row by row: from the queue to a run that goes on. Its end: test_lifecycle_end.py."""

import pytest

from support.situations import (
    JUST_NOW,
    LONG_AGO,
    NOW_MS,
    SETTINGS,
    SUCCEEDED,
    UNCLAIMED,
    VALID,
    run,
    situation,
    word,
)
from tunegate.control.actions import (
    Absorb,
    CancelRun,
    CleanUp,
    Finish,
    Launch,
    Move,
    Recover,
    Submit,
    Wait,
)
from tunegate.control.lifecycle import decide
from tunegate.control.pacing import recovery_delay_s
from tunegate.control.records import JobState as J
from tunegate.sdk.launcher import RunState as R


class TestBetweenAttempts:
    def test_a_queued_job_is_launched(self) -> None:
        assert decide(situation(J.QUEUED)) == Launch(number=1, resume=False)

    def test_a_queued_job_that_was_cancelled_ends_at_once(self) -> None:
        action = decide(situation(J.QUEUED, job={"desired": "stop", "stop_reason": "cancel"}))
        assert isinstance(action, Finish)
        assert action.state is J.CANCELLED

    def test_a_used_up_budget_ends_the_job(self) -> None:
        action = decide(situation(J.QUEUED, job={"used_ms": 3_600_000}))
        assert isinstance(action, Finish)
        assert action.error is not None
        assert action.error.code == "deadline_exceeded"

    def test_the_old_run_is_cleaned_up_before_the_next_one(self) -> None:
        closed = {"ended_ms": LONG_AGO}
        action = decide(situation(J.RECOVERING, run=run(R.FAILED), attempt=closed))
        assert action == CleanUp()

    def test_an_old_run_that_still_runs_is_stopped_first(self) -> None:
        closed = {"ended_ms": LONG_AGO}
        now = situation(J.RECOVERING, run=run(R.RUNNING), attempt=closed)
        assert decide(now) == CancelRun()

    def test_an_old_run_whose_engine_does_not_answer_is_waited_for(self) -> None:
        now = situation(J.RECOVERING, attempt={"ended_ms": LONG_AGO}, seen={"trouble": "down"})
        assert decide(now) == Wait(until_ms=NOW_MS + 2000, reason="down")

    def test_a_recovery_waits_its_time(self) -> None:
        now = situation(J.RECOVERING, attempt={"ended_ms": JUST_NOW, "cleaned": True})
        assert now.attempt is not None
        delay_ms = int(recovery_delay_s(now.attempt) * 1000)
        assert decide(now) == Wait(until_ms=JUST_NOW + delay_ms)

    def test_then_the_next_attempt_goes_on_from_the_checkpoint(self) -> None:
        now = situation(J.RECOVERING, attempt={"ended_ms": LONG_AGO, "cleaned": True})
        assert decide(now) == Launch(number=2, resume=True)

    def test_a_retry_by_the_client_goes_on_at_once(self) -> None:
        closed = {"ended_ms": JUST_NOW, "cleaned": True}
        now = situation(J.QUEUED, job={"attempt": 1}, attempt=closed)
        assert decide(now) == Launch(number=2, resume=True)


class TestLaunching:
    def test_an_unknown_run_is_submitted(self) -> None:
        assert decide(situation(J.LAUNCHING, run=run(R.ABSENT))) == Submit()

    def test_an_unknown_outcome_is_looked_up_first(self) -> None:
        now = situation(J.LAUNCHING, seen={"trouble": "down"})
        assert decide(now) == Wait(until_ms=NOW_MS + 2000, reason="down")

    @pytest.mark.parametrize(
        ("state", "target"),
        [
            (R.PENDING, J.PENDING),
            (R.STARTING, J.STARTING),
            (R.RUNNING, J.STARTING),
            (R.FAILED, J.STARTING),
            (R.SUCCEEDED, J.STARTING),
        ],
    )
    def test_a_run_that_is_there_is_adopted(self, state: R, target: J) -> None:
        action = decide(situation(J.LAUNCHING, run=run(state)))
        assert isinstance(action, Move)
        assert action.state is target


class TestOnTheWay:
    @pytest.mark.parametrize(
        ("before", "state", "target"),
        [
            (J.PENDING, R.STARTING, J.STARTING),
            (J.PENDING, R.RUNNING, J.STARTING),
        ],
    )
    def test_the_engine_moves_a_job_forward(self, before: J, state: R, target: J) -> None:
        action = decide(situation(before, run=run(state)))
        assert isinstance(action, Move)
        assert action.state is target

    @pytest.mark.parametrize("before", [J.LAUNCHING, J.PENDING, J.STARTING])
    def test_a_claim_and_an_event_make_it_running_even_if_the_engine_is_silent(
        self, before: J
    ) -> None:
        claimed = {"claimed_by": "run-uid-1", "folded_through": 1}
        action = decide(situation(before, attempt=claimed, job={"phase": "preparing"}))
        assert isinstance(action, Move)
        assert action.state is J.RUNNING
        assert action.phase == "preparing"

    def test_a_claim_alone_does_not(self) -> None:
        claimed = {"claimed_by": "run-uid-1", "last_seen_ms": JUST_NOW}
        assert isinstance(decide(situation(J.STARTING, run=run(R.RUNNING), attempt=claimed)), Wait)

    def test_the_trainers_upload_is_a_state_of_its_own(self) -> None:
        action = decide(situation(J.RUNNING, run=run(R.RUNNING), job={"phase": "uploading"}))
        assert isinstance(action, Move)
        assert action.state is J.UPLOADING

    @pytest.mark.parametrize(("waited_s", "next_s"), [(0, 0.5), (5, 0.5), (60, 6), (86_400, 15)])
    def test_a_long_wait_in_the_queue_is_looked_at_rarely(
        self, waited_s: int, next_s: float
    ) -> None:
        """Thousands of waiting runs must not keep the gateway busy."""
        waiting = {"created_ms": NOW_MS - waited_s * 1000, **UNCLAIMED}
        action = decide(situation(J.PENDING, run=run(R.PENDING), attempt=waiting))
        assert action == Wait(until_ms=NOW_MS + int(next_s * 1000))

    @pytest.mark.parametrize("state", [R.PENDING, R.STARTING])
    def test_an_engine_that_goes_back_does_not_take_the_job_with_it(self, state: R) -> None:
        assert isinstance(decide(situation(J.RUNNING, run=run(state))), Wait)

    @pytest.mark.parametrize("state", [J.PENDING, J.STARTING, J.RUNNING, J.UPLOADING])
    def test_an_engine_in_trouble_changes_nothing(self, state: J) -> None:
        now = situation(state, seen={"trouble": "down"})
        assert decide(now) == Wait(until_ms=NOW_MS + 2000, reason="down")

    def test_a_waiting_run_says_why(self) -> None:
        waiting = run(R.PENDING, reason="1 job is ahead")
        action = decide(situation(J.PENDING, run=waiting, attempt={"created_ms": JUST_NOW}))
        assert action == Wait(until_ms=NOW_MS + 500, reason="1 job is ahead")

    def test_more_events_are_folded_before_anything_is_judged(self) -> None:
        now = situation(J.RUNNING, run=run(R.FAILED), seen={"more_events": True})
        assert decide(now) == Absorb()

    def test_silence_of_a_running_run_is_only_told(self) -> None:
        now = situation(J.RUNNING, run=run(R.RUNNING), attempt={"last_seen_ms": LONG_AGO})
        action = decide(now)
        assert isinstance(action, Wait)
        assert action.reason is not None

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            pytest.param(R.STARTING, "run_lost", id="it starts anew by itself"),
            pytest.param(R.PENDING, "interrupted", id="its queue took it back"),
        ],
    )
    def test_silence_of_a_run_that_does_not_run_is_a_loss(self, state: R, code: str) -> None:
        now = situation(J.RUNNING, run=run(state), attempt={"last_seen_ms": LONG_AGO})
        action = decide(now)
        assert isinstance(action, Recover)
        assert action.error.code == code


class TestAbsence:
    def test_one_look_is_not_enough(self) -> None:
        now = situation(J.RUNNING, run=run(R.ABSENT), attempt={"absent_since_ms": NOW_MS})
        assert isinstance(decide(now), Wait)

    def test_nor_are_two_in_the_time_that_lists_lag_behind(self) -> None:
        now = situation(J.PENDING, run=run(R.ABSENT), attempt={"absent_since_ms": NOW_MS - 5000})
        assert isinstance(decide(now), Wait)

    def test_two_looks_well_apart_are(self) -> None:
        now = situation(J.RUNNING, run=run(R.ABSENT), attempt={"absent_since_ms": NOW_MS - 6000})
        action = decide(now)
        assert isinstance(action, Recover)
        assert action.error.code == "run_lost"

    def test_a_forgotten_run_with_a_complete_result_has_succeeded(self) -> None:
        seen = {"manifest": VALID}
        attempt = {"outcome": word(SUCCEEDED), "absent_since_ms": NOW_MS - 6000}
        action = decide(situation(J.UPLOADING, run=run(R.ABSENT), seen=seen, attempt=attempt))
        assert isinstance(action, Finish)
        assert action.state is J.SUCCEEDED


def test_decide_is_pure() -> None:
    now = situation(J.RUNNING, run=run(R.RUNNING))
    assert decide(now) == decide(now)
    assert now.settings == SETTINGS
