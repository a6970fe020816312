"""The table: what TrainJobs and their pods say, and what we make of it."""

from typing import Any

import msgspec
import pytest

from tunegate.launchers.kube.names import STOP
from tunegate.launchers.kube.objects import Meta, Thing
from tunegate.launchers.kube.pod_states import PodWord, read_pod
from tunegate.launchers.kube.run_states import read_run
from tunegate.launchers.kubeflow.objects import NodePod, TrainJob
from tunegate.launchers.kubeflow.states import FAILURES, workload_of
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState, RunStatus

RECORD = Thing(metadata=Meta(name="tg-a-1"))
STOPPED = Thing(metadata=Meta(name="tg-a-1", annotations={STOP: "1"}))
QUEUED = {"kueue.x-k8s.io/queue-name": "team-a"}


def job(*conditions: tuple[str, str, str], **more: Any) -> TrainJob:
    told = [
        {"type": kind, "status": status, "reason": reason, "message": "jobset says so"}
        for kind, status, reason in conditions
    ]
    body = {"metadata": {"name": "tg-a-1"}, "status": {"conditions": told}, **more}
    return msgspec.convert(body, TrainJob)


def word(index: int, state: RunState, reason: str = "", **more: Any) -> PodWord:
    begun = state not in (RunState.PENDING, RunState.STARTING)
    return PodWord(
        index=index, name=f"p{index}", state=state, native="", reason=reason, begun=begun, **more
    )


def read(found: TrainJob | None, *pods: PodWord, nodes: int = 1) -> RunStatus:
    workload = None if found is None else workload_of(found)
    return read_run("tg-a-1", RECORD, workload, pods, nodes)


def test_no_run_and_a_run_that_was_not_made_to_the_end_are_absent() -> None:
    assert read_run("x", None, None, ()).state is RunState.ABSENT
    assert read(None).state is RunState.ABSENT


@pytest.mark.parametrize(
    ("found", "pods", "state"),
    [
        (job(), [], RunState.PENDING),
        (job(), [word(0, RunState.PENDING, "no node can take it")], RunState.PENDING),
        (job(), [word(0, RunState.STARTING)], RunState.STARTING),
        (job(), [word(0, RunState.RUNNING)], RunState.RUNNING),
        (job(), [word(0, RunState.SUCCEEDED)], RunState.RUNNING),
        (job(("Suspended", "True", "Suspended")), [], RunState.PENDING),
        (job(("Suspended", "False", "Resumed")), [word(0, RunState.RUNNING)], RunState.RUNNING),
        (job(spec={"suspend": True}), [], RunState.PENDING),
        (job(("Complete", "True", "AllJobsCompleted")), [], RunState.SUCCEEDED),
        (job(("Complete", "False", "X")), [word(0, RunState.RUNNING)], RunState.RUNNING),
        (job(("SomethingNew", "True", "X")), [word(0, RunState.RUNNING)], RunState.RUNNING),
    ],
)
def test_the_way_of_a_run(found: TrainJob, pods: list[PodWord], state: RunState) -> None:
    status = read(found, *pods)
    assert status.state is state
    if state is RunState.PENDING:
        assert status.reason, "say what it waits for"
    assert status.exit_code == (0 if state is RunState.SUCCEEDED else None)


def test_a_queue_is_named() -> None:
    held = job(("Suspended", "True", "Suspended"), metadata={"name": "x", "labels": QUEUED})
    assert read(held).reason == "it waits in the queue team-a"


@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_the_trainjobs_own_failures(reason: str) -> None:
    status = read(job(("Failed", "True", reason)), word(0, RunState.FAILED, exit_code=137))
    assert (status.state, status.failure) == (RunState.FAILED, FAILURES[reason].failure)
    assert status.failure in CATALOGUE


def test_other_failures_are_told_by_the_pods() -> None:
    failed = job(("Failed", "True", "FailedJobs"))
    told = read(failed, word(0, RunState.FAILED, "left with exit code 67", exit_code=67))
    assert (told.exit_code, told.failure) == (67, None)
    silent = read(failed)
    assert (silent.failure, silent.reason) == (
        "run_lost",
        "its pods failed and left nothing to say why: jobset says so",
    )


def test_a_pod_that_failed_is_the_end_whatever_its_job_makes_of_it() -> None:
    """The runtime's Job may start another pod: it would lose the claim."""
    status = read(job(), word(0, RunState.FAILED, "x", exit_code=5), word(0, RunState.RUNNING))
    assert (status.state, status.exit_code) == (RunState.FAILED, 5)


@pytest.mark.parametrize("other", [84, 78, 1])
def test_of_several_nodes_the_cause_is_told(other: int) -> None:
    pods = (
        word(0, RunState.FAILED, "x", exit_code=other),
        word(1, RunState.FAILED, "too much memory", exit_code=137, failure="out_of_memory"),
    )
    status = read(job(), *pods, nodes=2)
    assert (status.failure, status.reason) == ("out_of_memory", "node 1: too much memory")


def test_all_nodes_have_to_be_there() -> None:
    assert read(job(), word(0, RunState.RUNNING), nodes=2).state is RunState.STARTING
    both = (word(0, RunState.RUNNING), word(1, RunState.RUNNING))
    assert read(job(), *both, nodes=2).state is RunState.RUNNING
    mixed = (word(0, RunState.RUNNING), word(1, RunState.PENDING, "no room"))
    assert read(job(), *mixed, nodes=2).state is RunState.PENDING


def test_what_was_asked_to_stop_is_stopped_once_nothing_is_left() -> None:
    assert read_run("x", STOPPED, workload_of(job()), ()).state is RunState.STARTING
    running = read_run("x", STOPPED, workload_of(job()), (word(0, RunState.RUNNING),))
    assert running.state is RunState.RUNNING
    assert read_run("x", STOPPED, None, (word(0, RunState.RUNNING),)).state is RunState.RUNNING
    assert read_run("x", STOPPED, None, ()).state is RunState.STOPPED
    assert read_run("x", STOPPED, None, (word(0, RunState.FAILED),)).state is RunState.STOPPED


def node_pod(**container: Any) -> NodePod:
    status = {"phase": "Running", "containerStatuses": [{"name": "node", **container}]}
    return msgspec.convert({"metadata": {"name": "p"}, "status": status}, NodePod)


def test_a_container_that_was_started_again_in_place_has_ended() -> None:
    """JobSet's pods restart on failure where their runtime does not say otherwise."""
    pod = node_pod(
        restartCount=1,
        state={"running": {"startedAt": "2030-01-01T00:00:00Z"}},
        lastState={"terminated": {"exitCode": 67, "reason": "Error"}},
    )
    said = read_pod(pod.as_pod(), 0, 900)
    assert (said.state, said.exit_code) == (RunState.FAILED, 67)


def test_a_container_that_was_started_once_has_not() -> None:
    pod = node_pod(restartCount=0, ready=True, state={"running": {"startedAt": None}})
    assert read_pod(pod.as_pod(), 0, 900).state is RunState.RUNNING
