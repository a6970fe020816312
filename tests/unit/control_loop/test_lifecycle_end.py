"""`decide`, row by row: the end of an attempt, stopping, and what comes after the end."""

from typing import Any

import pytest

from support.situations import (
    FAILED,
    INVALID,
    LONG_AGO,
    NOW_MS,
    STOPPED,
    SUCCEEDED,
    UNCLAIMED,
    VALID,
    run,
    situation,
    word,
)
from tunegate.contract.attempt import FailedEvent, TrainerEvent
from tunegate.control.actions import (
    CancelRun,
    CleanUp,
    DestroySecrets,
    Finish,
    Recover,
    Stop,
    VerifyManifest,
    Wait,
)
from tunegate.control.effects import effect_of
from tunegate.control.lifecycle import decide
from tunegate.control.observation import ManifestVerdict
from tunegate.control.records import JobState as J
from tunegate.control.settings import ControlSettings
from tunegate.sdk.launcher import RunState as R
from tunegate.sdk.launcher import RunStatus


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

    def test_a_result_that_may_not_be_read_is_not_made_once_more(self) -> None:
        denied = ManifestVerdict(problem="The result can't be read: denied", denied=True)
        action = _ended(
            run(R.SUCCEEDED, exit_code=0),
            attempt={"outcome": word(SUCCEEDED)},
            seen={"manifest": denied},
        )
        assert isinstance(action, Finish)
        assert action.error is not None
        assert (action.state, action.error.code) == (J.FAILED, "output_not_readable")

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
