"""What is due: every combination of what lies on disk and what the engine has."""

from tunegate.launchers.container.client import Listed
from tunegate.launchers.container.names import GRANT
from tunegate.launchers.container.runs import due, sooner
from tunegate.launchers.container.states import End, Stop
from tunegate.launchers.container.waiting import Begun, RunRecord, View
from tunegate.launchers.local.fit import Demand

DEMAND = Demand(gpus=0, cpus=1, memory_bytes=1)
LABELS = {GRANT: '{"gpu_ids": ["0"], "cpus": 2, "memory_bytes": 3}'}
NOW = 1_000_000


def view(**more: object) -> View:
    record = RunRecord(
        name="run", order=1, identity="x", demand=DEMAND, request={}, secrets=[], lasts_s=1, grace_s=1
    )  # fmt: skip
    return View(record=record, **more)


def listed(state: str) -> Listed:
    return Listed(id="1", names=["/run"], state=state, labels=LABELS)


BEGUN = Begun(end_at_ms=NOW + 1)
CASES: list[tuple[View, str | None, str | None]] = [
    (view(), None, "waiting"),
    (view(stop=Stop(cause="cancel", kill_at_ms=0)), None, None),
    (view(end=End(reason="no image")), None, None),
    (view(begun=BEGUN), None, None),
    (view(), "created", "to_start"),
    (view(), "running", "to_start"),
    (view(), "exited", None),
    (view(begun=BEGUN), "running", None),
    (view(begun=Begun(end_at_ms=NOW)), "running", "to_stop"),
    (view(begun=Begun(end_at_ms=NOW)), "exited", None),
    (view(begun=BEGUN, stop=Stop(cause="cancel", kill_at_ms=NOW + 1)), "running", None),
    (view(begun=BEGUN, stop=Stop(cause="cancel", kill_at_ms=NOW)), "running", "to_kill"),
    (view(stop=Stop(cause="cancel", kill_at_ms=NOW + 1)), "created", None),
]


def test_each_case_is_in_one_list_at_most() -> None:
    for given, state, wanted in CASES:
        containers = {} if state is None else {"run": listed(state)}
        found = due({"run": given}, containers, NOW)
        lists = ("waiting", "to_start", "to_stop", "to_kill")
        assert [name for name in lists if getattr(found, name)] == ([wanted] if wanted else []), (given, state)  # fmt: skip


def test_what_is_over_holds_nothing_and_what_is_not_known_does() -> None:
    assert due({}, {"run": listed("exited")}, NOW).held == []
    (held,) = due({}, {"run": listed("paused")}, NOW).held
    assert (held.gpu_ids, held.cpus, held.memory_bytes) == (["0"], 2, 3)


def test_a_second_wish_may_be_more_impatient_and_no_more_patient() -> None:
    late = Stop(cause="deadline", kill_at_ms=100)
    assert sooner(late, Stop(cause="cancel", kill_at_ms=50)) == Stop(
        cause="deadline", kill_at_ms=50
    )
    assert sooner(late, Stop(cause="cancel", kill_at_ms=150)) == late
