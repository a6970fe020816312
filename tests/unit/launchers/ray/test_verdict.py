"""The table: what Ray's job table and placement groups say, and what we make of it."""

import msgspec
import pytest

from tunegate.launchers.ray.client import Group, RayJob
from tunegate.launchers.ray.states import DRIVER, ERRORS, GROUPS, JOBS, WAITING, driver_codes
from tunegate.launchers.ray.verdict import status
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState, RunStatus


def read(job: RayJob | None, *groups: Group) -> RunStatus:
    return status("run", job, {group.name: group for group in groups})


def group(state: str, scheduling: str = "") -> Group:
    stats = {"scheduling_state": scheduling}
    return msgspec.convert({"name": "run", "state": state, "stats": stats}, Group)


@pytest.mark.parametrize("said", sorted(JOBS.keys() - {"FAILED"}))
def test_the_job_table(said: str) -> None:
    found = read(RayJob(status=said))
    assert (found.state, found.native_state) == (JOBS[said].state, said)
    assert found.exit_code == (0 if said == "SUCCEEDED" else None)


def test_no_job_is_no_run_and_a_new_word_is_told() -> None:
    assert read(None).state is RunState.ABSENT
    new = read(RayJob(status="HIBERNATING"))
    assert new.state is RunState.RUNNING
    assert "HIBERNATING" in new.reason


@pytest.mark.parametrize("said", sorted(GROUPS))
def test_while_its_driver_waits_for_nodes_the_groups_say_so(said: str) -> None:
    assert read(RayJob(status="RUNNING"), group(said)).state is GROUPS[said].state


@pytest.mark.parametrize("said", sorted(WAITING))
def test_why_it_waits(said: str) -> None:
    found = read(RayJob(status="RUNNING"), group("PENDING", said))
    assert found.state is RunState.PENDING
    assert found.reason == f"{WAITING[said]} ({said})"


@pytest.mark.parametrize("word", sorted(DRIVER))
def test_what_the_driver_found_out(word: str) -> None:
    code, meaning = DRIVER[word]
    found = read(RayJob(status="FAILED", driver_exit_code=code))
    assert (found.state, found.failure) == (RunState.FAILED, meaning.failure)
    assert found.failure in CATALOGUE
    assert found.exit_code is None, "the driver's codes are no exit codes of the trainer's"


@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_what_ray_says_of_a_failure(kind: str) -> None:
    found = read(RayJob(status="FAILED", error_type=kind, driver_exit_code=67))
    if ERRORS[kind].failure is None:
        assert (found.exit_code, found.failure) == (67, None)
    else:
        assert found.failure == ERRORS[kind].failure
        assert found.failure in CATALOGUE


def test_ends_of_the_program() -> None:
    assert read(RayJob(status="FAILED", driver_exit_code=-9)).exit_code == 137
    nothing = read(RayJob(status="FAILED"))
    assert (nothing.failure, nothing.reason) == ("run_lost", "Ray gives no reason")


def test_the_drivers_codes_are_none_of_the_trainers() -> None:
    ours = {error.exit_code for error in CATALOGUE.values() if error.exit_code}
    assert not ours & set(driver_codes().values())
