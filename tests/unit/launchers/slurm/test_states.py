"""Every word that Slurm has for a job means something here, and the verdicts that need more than one word."""

import itertools

import pytest
from msgspec.structs import replace

from tunegate.launchers.slurm.folder import RunRecord, Stop, View
from tunegate.launchers.slurm.job import MARK, SlurmJob
from tunegate.launchers.slurm.states import BASE, FLAGS, is_over, is_waiting, meaning, normal
from tunegate.launchers.slurm.verdict import find, ours, status
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import FINISHED, RunState

STATES = [
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "BOOT_FAIL",
    "DEADLINE",
    "OUT_OF_MEMORY",
]
FLAGGED = [
    "LAUNCH_FAILED",
    "UPDATE_DB",
    "REQUEUED",
    "REQUEUE_HOLD",
    "SPECIAL_EXIT",
    "RESIZING",
    "CONFIGURING",
    "COMPLETING",
    "STOPPED",
    "RECONFIG_FAIL",
    "POWER_UP_NODE",
    "REVOKED",
    "REQUEUE_FED",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "STAGE_OUT",
]


def job(number: int = 7, *states: str, **more: object) -> SlurmJob:
    plain = SlurmJob(
        job_id=number, name="ft-x-1", user="me", comment=f"{MARK}digest", states=states,
        submitted_s=1000 + number, reason="None",
    )  # fmt: skip
    return replace(plain, **more)


def view(**more: object) -> View:
    record = RunRecord(name="ft-x-1", digest="digest", created_ms=1_000_000, job_id=7)
    return View(record=record, **more)


@pytest.mark.parametrize("word", STATES)
def test_every_base_state_is_known(word: str) -> None:
    assert word in BASE
    assert BASE[word].failure is None or BASE[word].failure in CATALOGUE


@pytest.mark.parametrize("word", FLAGGED)
def test_every_flag_is_known(word: str) -> None:
    said = FLAGS[word]
    assert said is None or said.failure is None or said.failure in CATALOGUE


def test_only_an_ended_job_that_nothing_keeps_busy_is_over() -> None:
    for state, flag in itertools.product(STATES, [None, *FLAGGED]):
        words = (state,) if flag is None else (state, flag)
        if is_over(words) and flag != "REVOKED":
            assert state not in ("PENDING", "RUNNING", "SUSPENDED")
        if meaning(words).state in FINISHED and flag is None:
            assert is_over(words)


def test_a_word_that_nobody_knows_changes_nothing() -> None:
    assert meaning(("DANCING",)).state is RunState.RUNNING
    assert not is_over(("DANCING",))


def test_words_as_the_commands_print_them() -> None:
    assert normal(["CANCELLED by 1000", "OUT_OF_ME+"]) == ("CANCELLED", "OUT_OF_MEMORY")
    assert is_waiting(normal(["PENDING"]))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("TIMEOUT", "deadline_exceeded"),
        ("NODE_FAIL", "run_lost"),
        ("PREEMPTED", "interrupted"),
        ("OUT_OF_MEMORY", "out_of_memory"),
        ("BOOT_FAIL", "run_lost"),
        ("CANCELLED", "interrupted"),
    ],
)
def test_what_ended_a_run_has_a_name(state: str, code: str) -> None:
    seen = status("ft-x-1", view(started_by=7), job(7, state), believed=False)
    assert (seen.state, seen.failure) == (RunState.FAILED, code)


def test_the_scripts_own_exit_code_outlives_slurms_memory() -> None:
    seen = status("ft-x-1", view(started_by=7, exit_code=67), None, believed=True)
    assert (seen.state, seen.exit_code) == (RunState.FAILED, 67)
    begun = view(started=True, started_by=7)
    assert status("ft-x-1", begun, None, believed=False).state is RunState.RUNNING
    seen = status("ft-x-1", begun, None, believed=True)
    assert (seen.state, seen.failure) == (RunState.FAILED, "run_lost")


def test_put_back_into_the_queue_is_a_new_attempt() -> None:
    for states, believed in ((("PENDING", "REQUEUED"), False), (("PENDING",), True)):
        seen = status("ft-x-1", view(started_by=7), job(7, *states), believed=believed)
        assert (seen.state, seen.failure) == (RunState.FAILED, "interrupted")


def test_a_list_may_be_older_than_the_start() -> None:
    seen = status("ft-x-1", view(started_by=7), job(7, "PENDING"), believed=False)
    assert (seen.state, seen.failure) == (RunState.RUNNING, None)


def test_stopped_as_asked() -> None:
    asked = view(started_by=7, stop=Stop(kill_at_ms=1))
    for state in ("CANCELLED", "TIMEOUT"):
        seen = status("ft-x-1", asked, job(7, state), believed=False)
        assert seen.state is RunState.STOPPED


def test_numbers_prove_nothing() -> None:
    stranger = job(7, "RUNNING", comment=f"{MARK}other")
    old = job(8, "RUNNING", submitted_s=10)
    mine = job(9, "RUNNING")
    assert ours([stranger, old, mine], "ft-x-1", view(), "me") == [mine]


def test_of_two_jobs_the_one_that_started_the_program_is_the_run() -> None:
    first, second = job(8, "PENDING"), job(9, "RUNNING")
    found = find([first, second], view(started_by=9))
    assert (found.job, found.surplus) == (second, [first])
    found = find([second, first], view())
    assert (found.job, found.surplus) == (first, []), "either may start in this moment"
