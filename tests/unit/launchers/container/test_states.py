"""The table: what docker and podman say, and what we make of it."""

import pytest

from tunegate.launchers.container.states import (
    ALIVE,
    ENDS,
    STOPS,
    State,
    Stop,
    is_for_good,
    status_of,
)
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState

CANCEL = Stop(cause="cancel", kill_at_ms=0)
LATE = Stop(cause="deadline", kill_at_ms=0)


@pytest.mark.parametrize("said", sorted(ALIVE))
def test_what_lives(said: str) -> None:
    status = status_of("run", State(status=said), None)
    assert (status.state, status.native_state) == (ALIVE[said][0], said)
    assert status.exit_code is None


def test_a_word_that_is_not_known_is_told_and_counts_as_alive() -> None:
    status = status_of("run", State(status="hibernating"), None)
    assert status.state is RunState.RUNNING
    assert "hibernating" in status.reason


@pytest.mark.parametrize(
    ("state", "stop", "found", "failure"),
    [
        (State(status="exited", exit_code=0), None, RunState.SUCCEEDED, None),
        (State(status="stopped", exit_code=0), None, RunState.SUCCEEDED, None),
        (State(status="exited", exit_code=67), None, RunState.FAILED, None),
        (State(status="exited", exit_code=137, oom_killed=True), None, RunState.FAILED, "out_of_memory"),
        (State(status="exited", exit_code=0, oom_killed=True), None, RunState.SUCCEEDED, None),
        (State(status="exited", exit_code=139), None, RunState.FAILED, "killed"),
        (State(status="exited", exit_code=128, error="no such device"), None, RunState.FAILED, "launch_failed"),
        (State(status="dead", exit_code=1), None, RunState.FAILED, "run_lost"),
        (State(status="exited", exit_code=143), CANCEL, RunState.STOPPED, None),
        (State(status="exited", exit_code=137), LATE, RunState.FAILED, "deadline_exceeded"),
        (State(status="created"), CANCEL, RunState.STOPPED, None),
        (State(status="running"), CANCEL, RunState.RUNNING, None),
    ],
)  # fmt: skip
def test_how_it_ended(
    state: State, stop: Stop | None, found: RunState, failure: str | None
) -> None:
    status = status_of("run", state, stop)
    assert (status.state, status.failure) == (found, failure)
    assert status.reason or found is RunState.RUNNING


@pytest.mark.parametrize("code", sorted(ENDS))
def test_exit_codes_of_the_engines_own(code: int) -> None:
    status = status_of("run", State(status="exited", exit_code=code), None)
    assert (status.state, status.failure) == (RunState.FAILED, ENDS[code][0])


def test_all_codes_are_in_the_catalogue() -> None:
    told = {failure for failure, _ in ENDS.values()} | {row[1] for row in STOPS.values()} - {None}
    assert told <= CATALOGUE.keys()


@pytest.mark.parametrize(
    "message",
    [
        'could not select device driver "cdi" with capabilities: []',
        'exec: "nope": executable file not found in $PATH',
        "OCI runtime attempted to invoke a command that was not found",
        "unable to find user bad: no matching entries in passwd file",
        "container create: unable to find network with name or ID nonet: network not found",
        "bind source path does not exist: /nonexistent",
    ],
)
def test_trouble_that_will_not_pass(message: str) -> None:
    assert is_for_good(message)
    assert not is_for_good("context deadline exceeded while waiting for the storage lock")
