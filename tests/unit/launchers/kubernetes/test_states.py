"""The table: what Jobs and their pods say, and what we make of it."""

from typing import Any

import msgspec
import pytest

from tunegate.launchers.kube.names import STOP
from tunegate.launchers.kube.objects import Job, Meta, Thing
from tunegate.launchers.kube.pod_states import PodWord
from tunegate.launchers.kube.run_states import read_run
from tunegate.launchers.kubernetes.states import FAILURES, workload_of
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState, RunStatus

RECORD = Thing(metadata=Meta(name="tg-a-1"))
STOPPED = Thing(metadata=Meta(name="tg-a-1", annotations={STOP: "1"}))


def job(*conditions: tuple[str, str, str], **more: Any) -> Job:
    told = [
        {"type": kind, "status": status, "reason": reason, "message": "the controller says so"}
        for kind, status, reason in conditions
    ]
    status = {"conditions": told, "active": 1}
    return msgspec.convert({"metadata": {"name": "tg-a-1"}, "status": status, **more}, Job)


def word(index: int, state: RunState, reason: str = "", *, begun: bool = True, **more: Any) -> PodWord:  # fmt: skip
    return PodWord(
        index=index, name=f"p{index}", state=state, native="", reason=reason, begun=begun, **more
    )


def read(found: Job, *pods: PodWord, nodes: int = 1) -> RunStatus:
    return read_run("tg-a-1", RECORD, workload_of(found), pods, nodes)


@pytest.mark.parametrize(
    ("found", "pods", "state", "native"),
    [
        (job(), [], RunState.PENDING, "Active/1"),
        (job(), [word(0, RunState.PENDING, "no node", begun=False)], RunState.PENDING, "Active/1"),
        (job(), [word(0, RunState.STARTING, begun=False)], RunState.STARTING, "Active/1"),
        (job(), [word(0, RunState.RUNNING)], RunState.RUNNING, "Active/1"),
        (job(), [word(0, RunState.SUCCEEDED)], RunState.RUNNING, "Active/1"),
        (job(("Suspended", "True", "JobSuspended")), [], RunState.PENDING, "Suspended/JobSuspended"),
        (job(spec={"suspend": True}), [], RunState.PENDING, "Suspended"),
        (job(("Suspended", "False", "JobResumed")), [], RunState.PENDING, "Active/1"),
        (job(("SuccessCriteriaMet", "True", "X")), [word(0, RunState.RUNNING)], RunState.RUNNING, "Active/1"),
        (job(("Complete", "True", "CompletionsReached")), [], RunState.SUCCEEDED, "Complete/CompletionsReached"),
        (job(("Failed", "True", "BackoffLimitExceeded")), [], RunState.FAILED, "Failed/BackoffLimitExceeded"),
    ],
)  # fmt: skip
def test_the_way_of_a_run(found: Job, pods: list[PodWord], state: RunState, native: str) -> None:
    status = read(found, *pods)
    assert (status.state, status.native_state) == (state, native)
    if state is RunState.PENDING:
        assert status.reason, "say what it waits for"


@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_the_jobs_own_failures(reason: str) -> None:
    status = read(job(("Failed", "True", reason)), word(0, RunState.FAILED, exit_code=137))
    assert (status.state, status.failure) == (RunState.FAILED, FAILURES[reason].failure)
    assert status.failure in CATALOGUE


def test_a_pod_that_was_disrupted_before_it_began_is_made_anew() -> None:
    put_out = word(0, RunState.FAILED, "it had to make room", begun=False, failure="interrupted")
    assert read(job(), put_out).state is RunState.PENDING
    again = word(0, RunState.STARTING, "its container is being made", begun=False)
    assert read(job(), put_out, again).state is RunState.STARTING


def test_one_that_had_begun_is_the_end_of_the_attempt() -> None:
    """The engine starts another pod, which loses the claim: the gateway begins again from the checkpoint."""
    lost = word(0, RunState.FAILED, "its node was lost", failure="run_lost")
    status = read(job(), lost, word(0, RunState.RUNNING))
    assert (status.state, status.failure) == (RunState.FAILED, "run_lost")


def test_where_the_server_knows_no_failure_policy_a_disruption_fails_the_job() -> None:
    put_out = word(0, RunState.FAILED, "it had to make room", begun=False, failure="interrupted")
    status = read(job(("Failed", "True", "BackoffLimitExceeded")), put_out)
    assert (status.state, status.failure) == (RunState.FAILED, "interrupted")


def test_trouble_that_is_no_disruption_is_the_end() -> None:
    refused = word(0, RunState.FAILED, "its image can't be pulled", begun=False, failure="launch_failed")  # fmt: skip
    assert read(job(), refused).failure == "launch_failed"


def test_what_was_asked_to_stop_is_stopped_once_nothing_is_left() -> None:
    going = workload_of(job(metadata={"deletionTimestamp": "2030-01-01T00:00:00Z"}))
    assert going.native == "Deleting"
    assert read_run("x", STOPPED, going, (word(0, RunState.RUNNING),)).state is RunState.RUNNING
    assert read_run("x", STOPPED, None, ()).state is RunState.STOPPED


def test_somebody_else_deleted_it() -> None:
    gone = read(job(metadata={"name": "x", "deletionTimestamp": "2030-01-01T00:00:00Z"}))
    assert (gone.state, gone.reason) == (RunState.STARTING, "somebody deleted it")
    assert read_run("x", RECORD, None, ()).state is RunState.ABSENT
