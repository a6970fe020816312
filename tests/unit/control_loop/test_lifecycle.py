"""`decide`, row by row."""

from typing import Any

import pytest

from support.situations import (
    FAILED,
    INVALID,
    NOW_MS,
    SETTINGS,
    STOPPED,
    SUCCEEDED,
    VALID,
    run,
    situation,
    word,
)
from tunegate.contract.attempt import FailedEvent, TrainerEvent
from tunegate.control.actions import (
    Absorb,
    CancelRun,
    CleanUp,
    DestroySecrets,
    Finish,
    Launch,
    Move,
    Recover,
    Stop,
    Submit,
    VerifyManifest,
    Wait,
)
from tunegate.control.effects import effect_of
from tunegate.control.lifecycle import decide
from tunegate.control.observation import ManifestVerdict
from tunegate.control.pacing import recovery_delay_s
from tunegate.control.records import JobState as J
from tunegate.control.settings import ControlSettings
from tunegate.sdk.launcher import RunState as R
from tunegate.sdk.launcher import RunStatus

LONG_AGO = NOW_MS - 3_600_000
JUST_NOW = NOW_MS - 100
UNCLAIMED = {"claimed_by": None, "claimed_ms": None, "last_seen_ms": None, "folded_through": 0}


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


def _ended(status: Any, **fields: Any) -> Any:
    attempt = {"ended_since_ms": NOW_MS - 10_000, **fields.pop("attempt", {})}
    return decide(situation(fields.pop("state", J.RUNNING), run=status, attempt=attempt, **fields))


class TestTheEnd:
    def test_success_needs_the_manifest(self) -> None:
        attempt = {"outcome": word(SUCCEEDED)}
        assert _ended(run(R.SUCCEEDED, exit_code=0), attempt=attempt) == VerifyManifest()

    def test_success_with_all_three(self) -> None:
        action = _ended(
            run(R.SUCCEEDED, exit_code=0),
            attempt={"outcome": word(SUCCEEDED)},
            seen={"manifest": VALID},
        )
        assert action == Finish(state=J.SUCCEEDED, detail=SUCCEEDED.detail)

    @pytest.mark.parametrize(
        ("status", "outcome", "verdict", "code"),
        [
            (run(R.SUCCEEDED, exit_code=0), SUCCEEDED, INVALID, "manifest_invalid"),
            (run(R.SUCCEEDED, exit_code=0), None, None, "manifest_invalid"),
            (run(R.FAILED, exit_code=137), SUCCEEDED, VALID, "killed"),
            (run(R.FAILED, exit_code=-9), None, None, "killed"),
            (run(R.FAILED), None, None, "killed"),
            (run(R.FAILED, exit_code=77), None, None, "interrupted"),
            (run(R.FAILED, exit_code=77), STOPPED, None, "interrupted"),
            (run(R.STOPPED), None, None, "interrupted"),
            (run(R.FAILED, exit_code=73), None, None, "storage_unavailable"),
            (run(R.FAILED, exit_code=79), None, None, "gateway_unreachable"),
            (run(R.FAILED, exit_code=1, failure="run_lost"), None, None, "run_lost"),
            (run(R.FAILED, exit_code=137, failure="out_of_memory"), None, None, "memory_exceeded"),
            (run(R.FAILED, exit_code=1, failure="killed"), STOPPED, None, "killed"),
        ],
    )
    def test_trouble_that_may_pass_is_tried_again(
        self,
        status: RunStatus,
        outcome: TrainerEvent | None,
        verdict: ManifestVerdict | None,
        code: str,
    ) -> None:
        attempt = {"outcome": word(outcome)} if outcome else {}
        action = _ended(status, attempt=attempt, seen={"manifest": verdict})
        assert isinstance(action, Recover)
        assert action.error.code == code

    @pytest.mark.parametrize(
        ("status", "outcome", "code"),
        [
            (run(R.FAILED, exit_code=67), FAILED, "data_invalid"),
            (run(R.FAILED, failure="out_of_memory"), FAILED, "data_invalid"),
            (run(R.FAILED, exit_code=65), None, "data_not_found"),
            (run(R.FAILED, exit_code=1), None, "trainer_crashed"),
            (run(R.FAILED, exit_code=3), None, "trainer_crashed"),
            (run(R.STOPPED, failure="deadline_exceeded"), None, "deadline_exceeded"),
        ],
    )
    def test_the_users_trouble_ends_the_job(
        self, status: RunStatus, outcome: TrainerEvent | None, code: str
    ) -> None:
        action = _ended(status, attempt={"outcome": word(outcome)} if outcome else {})
        assert isinstance(action, Finish)
        assert action.state is J.FAILED
        assert action.error is not None
        assert action.error.code == code

    def test_the_trainers_own_words_are_kept(self) -> None:
        action = _ended(run(R.FAILED, exit_code=67), attempt={"outcome": word(FAILED)})
        assert isinstance(action, Finish)
        assert action.detail == "train.jsonl line 7 is not JSON."

    def test_a_code_of_a_newer_trainer_is_kept(self) -> None:
        news = FailedEvent(code="cosmic_ray", detail="A bit flipped.")
        action = _ended(run(R.FAILED, exit_code=90), attempt={"outcome": word(news)})
        assert isinstance(action, Finish)
        assert action.error is not None
        assert action.error.code == "cosmic_ray"

    def test_without_retries_left_trouble_ends_the_job(self) -> None:
        action = _ended(run(R.FAILED, exit_code=-9), job={"retries_left": 0})
        assert isinstance(action, Finish)
        assert action.state is J.FAILED

    @pytest.mark.parametrize(
        ("ended", "spent"),
        [
            pytest.param({"failure": "interrupted"}, "preemptions", id="preempted"),
            pytest.param({"failure": "out_of_memory"}, "memory_kills", id="killed for its memory"),
            pytest.param({"exit_code": -9}, "retries_left", id="killed"),
        ],
    )
    def test_each_kind_of_trouble_has_its_own_tries(
        self, ended: dict[str, Any], spent: str
    ) -> None:
        budgets = {"preemptions": 20, "memory_kills": 2, "retries_left": 0}
        plenty = {"preemptions": 0, "memory_kills": 0, "retries_left": 2}
        status = run(R.FAILED, **ended)
        assert isinstance(_ended(status, job=budgets | {spent: plenty[spent]}), Recover)
        assert isinstance(_ended(status, job=plenty | {spent: budgets[spent]}), Finish)

    def test_a_try_is_taken_from_the_budget_of_its_trouble(self) -> None:
        killed = run(R.FAILED, failure="out_of_memory")
        now = situation(J.RUNNING, run=killed, attempt={"ended_since_ms": LONG_AGO})
        action = decide(now)
        assert isinstance(action, Recover)
        assert action.error.code == "memory_exceeded"
        fields = effect_of(action, now).fields
        assert (fields["memory_kills"], "retries_left" in fields) == (1, False)

    def test_what_the_trainer_itself_calls_too_large_is_not_tried_again(self) -> None:
        word_of_it = FailedEvent(code="out_of_memory", detail="Not even one example fits.")
        action = _ended(run(R.FAILED, exit_code=74), attempt={"outcome": word(word_of_it)})
        assert isinstance(action, Finish)

    def test_last_words_may_still_be_under_way(self) -> None:
        status = run(R.FAILED, exit_code=1)
        now = situation(J.RUNNING, run=status, attempt={"ended_since_ms": NOW_MS - 100})
        assert isinstance(decide(now), Wait)

    def test_a_twin_that_lost_the_claim_says_nothing_of_the_winner(self) -> None:
        assert isinstance(_ended(run(R.FAILED, exit_code=78)), Wait)

    def test_unless_the_winner_is_silent(self) -> None:
        action = _ended(run(R.FAILED, exit_code=78), attempt={"last_seen_ms": LONG_AGO})
        assert isinstance(action, Recover)
        assert action.error.code == "run_lost"

    def test_a_run_that_ended_before_it_was_heard_of(self) -> None:
        action = _ended(run(R.FAILED, exit_code=64), state=J.STARTING)
        assert isinstance(action, Finish)


class TestStopping:
    ASKED = {"desired": "stop", "stop_reason": "cancel"}

    @pytest.mark.parametrize("state", [J.LAUNCHING, J.PENDING, J.STARTING, J.RUNNING, J.UPLOADING])
    def test_the_wish_is_stored_first(self, state: J) -> None:
        now = situation(state, run=run(R.RUNNING), job=self.ASKED)
        assert decide(now) == Stop(reason="cancel")

    def test_a_used_up_budget_stops_the_run(self) -> None:
        now = situation(J.RUNNING, run=run(R.RUNNING), attempt={"claimed_ms": NOW_MS - 3_600_000})
        assert decide(now) == Stop(reason="deadline")

    def test_waiting_in_a_queue_uses_nothing_up(self) -> None:
        now = situation(J.PENDING, run=run(R.PENDING), attempt={"created_ms": 0, **UNCLAIMED})
        assert isinstance(decide(now), Wait)

    def test_then_the_engine_is_asked(self) -> None:
        now = situation(J.STOPPING, run=run(R.RUNNING), job=self.ASKED)
        assert decide(now) == CancelRun()

    def test_once(self) -> None:
        asked = {"cancelled_ms": NOW_MS - 1000}
        now = situation(J.STOPPING, run=run(R.RUNNING), job=self.ASKED, attempt=asked)
        assert isinstance(decide(now), Wait)

    def test_and_again_when_the_grace_is_long_over(self) -> None:
        asked = {"cancelled_ms": NOW_MS - 151_000}
        now = situation(J.STOPPING, run=run(R.RUNNING), job=self.ASKED, attempt=asked)
        assert decide(now) == CancelRun()

    def test_an_engine_in_trouble_is_waited_for(self) -> None:
        now = situation(J.STOPPING, job=self.ASKED, seen={"trouble": "down"})
        assert isinstance(decide(now), Wait)

    @pytest.mark.parametrize("outcome", [None, STOPPED, FAILED])
    def test_the_end_that_the_engine_confirms_is_a_cancellation(
        self, outcome: TrainerEvent | None
    ) -> None:
        attempt = {"outcome": word(outcome)} if outcome else {}
        status = run(R.STOPPED, exit_code=77)
        action = _ended(status, state=J.STOPPING, job=self.ASKED, attempt=attempt)
        assert isinstance(action, Finish)
        assert action.state is J.CANCELLED

    def test_a_deadline_is_a_failure(self) -> None:
        job = {"desired": "stop", "stop_reason": "deadline"}
        action = _ended(run(R.STOPPED), state=J.STOPPING, job=job)
        assert isinstance(action, Finish)
        assert action.state is J.FAILED
        assert action.error is not None
        assert action.error.code == "deadline_exceeded"

    def test_a_complete_result_wins(self) -> None:
        fields = {"state": J.STOPPING, "job": self.ASKED, "attempt": {"outcome": word(SUCCEEDED)}}
        status = run(R.STOPPED, exit_code=143)
        assert _ended(status, **fields) == VerifyManifest()
        action = _ended(status, seen={"manifest": VALID}, **fields)
        assert isinstance(action, Finish)
        assert action.state is J.SUCCEEDED

    def test_an_incomplete_one_does_not(self) -> None:
        action = _ended(
            run(R.STOPPED, exit_code=143),
            state=J.STOPPING,
            job=self.ASKED,
            attempt={"outcome": word(SUCCEEDED)},
            seen={"manifest": INVALID},
        )
        assert isinstance(action, Finish)
        assert action.state is J.CANCELLED

    def test_a_run_that_was_never_submitted_is_over_when_the_engine_knows_none(self) -> None:
        attempt = {"submitted": False, **UNCLAIMED}
        now = situation(J.STOPPING, run=run(R.ABSENT), job=self.ASKED, attempt=attempt)
        assert isinstance(decide(now), Finish)


class TestAfterTheEnd:
    CLOSED = {"ended_ms": NOW_MS - 5000}
    TIDY = {"ended_ms": NOW_MS - 5000, "cleaned": True}

    @pytest.mark.parametrize("state", [J.SUCCEEDED, J.FAILED, J.CANCELLED])
    def test_nothing_moves_a_finished_job(self, state: J) -> None:
        for status in R:
            now = situation(state, run=run(status), attempt=self.CLOSED)
            assert isinstance(decide(now), CleanUp | CancelRun)

    def test_credentials_go_when_nobody_needs_them(self) -> None:
        action = decide(situation(J.SUCCEEDED, attempt=self.TIDY))
        assert isinstance(action, DestroySecrets)
        assert action.fields == ["request", "callbacks", "#key"]

    def test_callbacks_stay_while_a_delivery_waits(self) -> None:
        now = situation(J.FAILED, attempt=self.TIDY, seen={"pending_deliveries": 1})
        action = decide(now)
        assert isinstance(action, DestroySecrets)
        assert action.fields == ["request"]

    def test_a_failed_jobs_credentials_can_be_kept_for_a_retry(self) -> None:
        keeping = ControlSettings(keep_secrets_for_retry_s=60.0)
        now = situation(J.FAILED, attempt=self.TIDY, settings=keeping)
        assert decide(now) == Wait(until_ms=NOW_MS + 55_000)
        done = situation(J.SUCCEEDED, attempt=self.TIDY, settings=keeping)
        assert isinstance(decide(done), DestroySecrets)


def test_decide_is_pure() -> None:
    now = situation(J.RUNNING, run=run(R.RUNNING))
    assert decide(now) == decide(now)
    assert now.settings == SETTINGS
