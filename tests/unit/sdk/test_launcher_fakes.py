import pytest

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.sdk.launcher import EngineUnavailable, Run, RunState, RunStatus
from tunegate.sdk.testing.launcher_fakes import ScriptedLauncher


def a_run(name: str = "run-1") -> Run:
    container = ContainerSpec(image="i", command=["true"], resources=ResourceRequest())
    return Run(
        name=name, job_id="j", attempt=1, attempt_id="a", container=container,
        gateway_url="http://g", claim_token=Secret("t"),
    )  # fmt: skip


async def test_a_lost_answer_still_creates_the_run_once() -> None:
    engine = ScriptedLauncher()
    engine.fail("submit", EngineUnavailable("timed out"), after=True)
    with pytest.raises(EngineUnavailable):
        await engine.submit(a_run())
    await engine.submit(a_run())
    assert engine.created == {"run-1": 1}
    assert engine.calls["submit"] == 2


async def test_a_refused_call_does_nothing() -> None:
    engine = ScriptedLauncher()
    engine.storm(1)
    with pytest.raises(EngineUnavailable):
        await engine.submit(a_run())
    assert (await engine.poll(["run-1"]))["run-1"].state is RunState.ABSENT


async def test_scripts_play_and_the_last_status_stays() -> None:
    engine = ScriptedLauncher()
    await engine.submit(a_run())
    states = (RunState.STARTING, RunState.RUNNING)
    engine.script("run-1", *(RunStatus(name="run-1", state=state) for state in states))
    seen = [(await engine.poll(["run-1"]))["run-1"].state for _ in range(3)]
    assert seen == [RunState.STARTING, RunState.RUNNING, RunState.RUNNING]


async def test_a_stale_poll_knows_nothing_yet() -> None:
    engine = ScriptedLauncher()
    await engine.submit(a_run())
    engine.stale(1)
    assert (await engine.poll(["run-1"]))["run-1"].state is RunState.ABSENT
    assert (await engine.poll(["run-1"]))["run-1"].state is RunState.PENDING


async def test_ends() -> None:
    engine = ScriptedLauncher()
    for name in ("a", "b", "c"):
        await engine.submit(a_run(name))
    engine.finish("a")
    engine.finish("b", exit_code=67)
    await engine.cancel("c", 3.0)
    await engine.cancel("a", 3.0)
    states = {name: status.state for name, status in (await engine.poll(["a", "b", "c"])).items()}
    assert states == {"a": RunState.SUCCEEDED, "b": RunState.FAILED, "c": RunState.STOPPED}
    await engine.cleanup("a")
    assert await engine.list_runs() == ["b", "c"]
