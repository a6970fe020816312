import pytest

from tunegate.launchers.local.folder import Exit
from tunegate.launchers.local.status import ended
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.launcher import RunState


@pytest.mark.parametrize(
    ("end", "state", "failure"),
    [
        (Exit(exit_code=0), RunState.SUCCEEDED, None),
        (Exit(exit_code=67), RunState.FAILED, None),
        (Exit(signal=9), RunState.FAILED, "killed"),
        (Exit(signal=64), RunState.FAILED, "killed"),
        (Exit(signal=9, cause="cancel"), RunState.STOPPED, None),
        (Exit(exit_code=77, cause="cancel"), RunState.STOPPED, None),
        (Exit(exit_code=77, cause="deadline"), RunState.FAILED, "deadline_exceeded"),
        (Exit(signal=15, cause="signal"), RunState.FAILED, "interrupted"),
        (Exit(cause="lost"), RunState.FAILED, "killed"),
        (Exit(cause="reboot"), RunState.FAILED, "run_lost"),
        (Exit(error="no such program"), RunState.FAILED, "launch_failed"),
    ],
)
def test_every_end_has_a_name(end: Exit, state: RunState, failure: str | None) -> None:
    status = ended("run-1", end)
    assert (status.state, status.failure) == (state, failure)
    assert status.reason
    assert failure is None or failure in CATALOGUE
    assert status.exit_code == end.exit_code
