"""What the conformance suite can't ask of every launcher: supervisors, boots, grants, deadlines."""

import errno
import os
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.contract.training import AttemptTicket
from tunegate.launchers.local import LocalLauncher, turn
from tunegate.launchers.local.folder import RunFolder, Supervisor
from tunegate.launchers.local.queue import Grant
from tunegate.launchers.local.settings import LocalSettings
from tunegate.launchers.local.turn import Turn
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import (
    FINISHED,
    EngineUnavailable,
    LauncherContext,
    LaunchRefused,
    Run,
    RunState,
    RunStatus,
)
from tunegate.sdk.testing.launcher import SLEEP, LauncherConformance, seen_in_processes, text

SUITE = LauncherConformance()
SMALL = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20)


def new_launcher(tmp_path: Path, **settings: object) -> LocalLauncher:
    plain = {"gpus": 0, "cpus": 4, "memory_gb": 4, **settings}
    context = LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
    return LocalLauncher(msgspec.convert(plain, LocalSettings), context)


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[LocalLauncher]:
    launcher = new_launcher(tmp_path, gpus=2)
    await launcher.start()
    yield launcher
    for name in await launcher.list_runs():
        await launcher.cleanup(name)
    await SUITE.eventually(launcher, lambda _, names: not names)


def folder_of(tmp_path: Path, run: Run) -> RunFolder:
    return RunFolder(tmp_path / "runs" / run.name)


async def end_of(launcher: LocalLauncher, run: Run) -> RunStatus:
    return await SUITE.until(launcher, run.name, *FINISHED)


async def test_the_folder_holds_the_ticket_and_a_private_token(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    run = SUITE.run("print('done')")
    await launcher.submit(run)
    folder = folder_of(tmp_path, run)
    ticket = msgspec.json.decode((folder.files / "attempt.json").read_bytes(), type=AttemptTicket)
    token = folder.files / ticket.token_file
    assert ticket.attempt_id == run.attempt_id
    assert token.read_text() == run.claim_token.reveal()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert (folder.files / "job.json").read_text() == '{"sample": true}'


async def test_a_killed_supervisor_takes_its_run_along(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    run = SUITE.run(f"import subprocess; subprocess.Popen(['sleep', '60']); {SLEEP}")
    await launcher.submit(run)
    await SUITE.until_said(launcher, run.name, "begun")
    watcher = folder_of(tmp_path, run).read("supervisor", Supervisor)
    assert watcher is not None
    os.kill(watcher.pid, signal.SIGKILL)
    status = await end_of(launcher, run)
    assert (status.state, status.failure) == (RunState.FAILED, "killed")
    assert_gone(str(folder_of(tmp_path, run).path))
    heir = new_launcher(tmp_path)
    await heir.start()
    assert (await heir.poll([run.name]))[run.name].failure == "killed"


def assert_gone(mark: str) -> None:
    """Killed processes need a moment to be gone."""
    end = time.monotonic() + 10
    while seen_in_processes(mark):
        assert time.monotonic() < end, "the run lives on without a supervisor"


async def test_a_killed_run_is_named(launcher: LocalLauncher) -> None:
    run = SUITE.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    await launcher.submit(run)
    status = await end_of(launcher, run)
    assert (status.failure, status.reason) == ("killed", "ended by SIGKILL")


async def test_a_run_of_an_earlier_boot_is_lost(launcher: LocalLauncher, tmp_path: Path) -> None:
    run = SUITE.run(SLEEP)
    await launcher.submit(run)
    await SUITE.until_said(launcher, run.name, "begun")
    folder = folder_of(tmp_path, run)
    watcher = folder.read("supervisor", Supervisor)
    assert watcher is not None
    folder.write("supervisor", msgspec.structs.replace(watcher, boot_id="another"))
    assert (await end_of(launcher, run)).failure == "run_lost"
    os.kill(watcher.pid, signal.SIGKILL)
    assert_gone(str(folder.path))


async def test_another_process_of_the_same_number_is_not_ours(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    run = SUITE.run(SLEEP)
    await launcher.submit(run)
    folder = folder_of(tmp_path, run)
    watcher = folder.read("supervisor", Supervisor)
    assert watcher is not None
    folder.write(
        "supervisor", msgspec.structs.replace(watcher, start_ticks=watcher.start_ticks - 1)
    )
    assert (await end_of(launcher, run)).failure == "killed"


async def test_time_that_is_used_up(launcher: LocalLauncher) -> None:
    run = msgspec.structs.replace(SUITE.run(SLEEP), remaining_s=0.2, grace_s=0.1)
    await launcher.submit(run)
    assert (await end_of(launcher, run)).failure == "deadline_exceeded"


async def test_a_command_that_is_not_there(launcher: LocalLauncher) -> None:
    container = ContainerSpec(image="i", command=["/no/such/program"], resources=SMALL)
    run = msgspec.structs.replace(SUITE.run(SLEEP), container=container)
    await launcher.submit(run)
    status = await end_of(launcher, run)
    assert status.failure == "launch_failed"
    assert "No such file" in status.reason


async def test_every_run_sees_its_own_gpus(launcher: LocalLauncher) -> None:
    show = f"import os; print('gpus', os.environ['CUDA_VISIBLE_DEVICES'], flush=True); {SLEEP}"
    wanted = ResourceRequest(gpus=1, cpus=1, memory_bytes=2**20)
    runs = [SUITE.run(show, wanted) for _ in range(3)]
    for run in runs:
        await launcher.submit(run)
    for run, gpu in zip(runs, "01", strict=False):
        await SUITE.until_said(launcher, run.name, f"gpus {gpu}")
    statuses = await launcher.poll([run.name for run in runs])
    assert statuses[runs[2].name].reason == "waits for 1 GPU"
    await launcher.cancel(runs[0].name, 0.0)
    await SUITE.until_said(launcher, runs[2].name, "gpus 0")


async def test_a_restart_keeps_the_order_of_the_queue(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    whole = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)
    runs = [SUITE.run(SLEEP, whole) for _ in range(3)]
    for run in runs:
        await launcher.submit(run)
    heir = new_launcher(tmp_path)
    await heir.start()
    statuses = await heir.poll([run.name for run in runs])
    assert [statuses[run.name].reason for run in runs] == [
        "", "waits for 4 CPUs", "waits for its turn; 1 ahead",
    ]  # fmt: skip


async def test_a_look_at_a_long_queue_reads_no_more_than_at_a_short_one(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)
    reads: list[str] = []
    read = RunFolder.read

    def counted(self: RunFolder, name: str, kind: type[Any]) -> Any:
        reads.append(name)
        return read(self, name, kind)

    async def reads_of_a_poll(name: str) -> int:
        reads.clear()
        await launcher.poll([name])
        return len(reads)

    monkeypatch.setattr(RunFolder, "read", counted)
    runs = [SUITE.run(SLEEP, whole) for _ in range(8)]
    await launcher.submit(runs[0])
    alone = await reads_of_a_poll(runs[0].name)
    for run in runs[1:]:
        await launcher.submit(run)
    assert await reads_of_a_poll(runs[-1].name) == alone


async def test_what_was_taken_out_of_the_queue_is_not_started(launcher: LocalLauncher) -> None:
    whole = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)
    runs = [SUITE.run(SLEEP, whole) for _ in range(3)]
    for run in runs:
        await launcher.submit(run)
    await launcher.cancel(runs[1].name, 0.0)
    await launcher.cleanup(runs[0].name)
    await SUITE.until_said(launcher, runs[2].name, "begun")
    statuses = await launcher.poll([runs[1].name])
    assert statuses[runs[1].name].state is RunState.STOPPED


async def test_a_grant_without_a_supervisor_is_made_good(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """A gateway killed between the two starts the run when it is back, once."""
    mark = tmp_path / "mark"
    run = SUITE.run(f"open({str(mark)!r}, 'a').write('x')")
    await launcher.submit(run)
    await end_of(launcher, run)
    folder = folder_of(tmp_path, run)
    for name in ("supervisor", "exit"):
        (folder.path / f"{name}.json").unlink()
    mark.unlink()
    heir = new_launcher(tmp_path)
    await heir.start()
    assert (await end_of(heir, run)).state is RunState.SUCCEEDED
    assert mark.read_text() == "x"


async def test_what_was_removed_is_not_started_again(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """A gateway that was frozen just before it submitted a run goes on when all is over."""
    run = SUITE.run("print('done')")
    await launcher.submit(run)
    await end_of(launcher, run)
    await launcher.cleanup(run.name)
    with pytest.raises(LaunchRefused, match="removed"):
        await new_launcher(tmp_path).submit(run)
    [mark] = (tmp_path / "runs.gone").iterdir()
    os.utime(mark, (0, 0))
    other = SUITE.run("print('done')")
    heir = new_launcher(tmp_path)
    await heir.submit(other)
    await end_of(heir, other)
    await heir.cleanup(other.name)
    assert [path.name for path in (tmp_path / "runs.gone").iterdir()] == [other.name]


async def test_a_supervisor_that_finds_no_room_is_tried_again(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, unwanted = SUITE.run("print('done')"), SUITE.run("print('done')")
    with monkeypatch.context() as full:
        full.setattr(subprocess, "run", Mock(side_effect=BlockingIOError(errno.EAGAIN, "no room")))
        await launcher.submit(run)
        await launcher.submit(unwanted)
        status = (await launcher.poll([run.name]))[run.name]
        assert (status.state, status.failure) == (RunState.STARTING, None)
        assert "room" in status.reason
        await launcher.cancel(unwanted.name, 5.0)
        assert (await end_of(launcher, unwanted)).state is RunState.STOPPED
    assert (await end_of(launcher, run)).state is RunState.SUCCEEDED


async def test_leftovers_of_a_killed_gateway_are_swept(tmp_path: Path) -> None:
    for name in (".new-1", ".removed-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    launcher = new_launcher(tmp_path)
    await launcher.start()
    assert list((tmp_path / "runs").iterdir()) == []
    assert await launcher.list_runs() == []


async def test_bad_names_paths_and_wishes_are_refused(launcher: LocalLauncher) -> None:
    good = SUITE.run(SLEEP)
    outside = ContainerFile(path="../x", content="")
    spec = msgspec.structs.replace(good.container, files=[outside])
    many = msgspec.structs.replace(good.container, resources=ResourceRequest(gpus=9))
    for bad in (
        msgspec.structs.replace(good, name="../../etc"),
        msgspec.structs.replace(good, container=spec),
        msgspec.structs.replace(good, container=many),
    ):
        with pytest.raises(LaunchRefused):
            await launcher.submit(bad)
    assert await launcher.list_runs() == []


async def test_only_named_variables_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("SOME_SECRET", "hidden")
    launcher = new_launcher(tmp_path, env=["HF_HOME"])
    await launcher.start()
    run = msgspec.structs.replace(
        SUITE.run("import os; print(dict(os.environ))"), claim_token=Secret("claim")
    )
    await launcher.submit(run)
    await end_of(launcher, run)
    said = await text(launcher, run.name)
    assert "'HF_HOME': '/models'" in said
    assert "'OMP_NUM_THREADS': '1'" in said
    assert "hidden" not in said
    await launcher.cleanup(run.name)


async def test_two_gateways_take_turns_on_one_machine(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    other = new_launcher(tmp_path, gpus=2)
    await other.start()
    one_gpu = ResourceRequest(gpus=1, cpus=1, memory_bytes=2**20)
    runs = [SUITE.run(SLEEP, resources=one_gpu) for _ in range(3)]
    for number, run in enumerate(runs):
        await (launcher, other)[number % 2].submit(run)
        await (launcher, other)[1 - number % 2].submit(run)  # both may try, one run comes of it
    for each in (launcher, other, launcher):
        states = await each.poll([run.name for run in runs])
        assert [states[run.name].state for run in runs] == [
            RunState.RUNNING,
            RunState.RUNNING,
            RunState.PENDING,
        ]
    granted = [folder_of(tmp_path, run).read("grant", Grant) for run in runs[:2]]
    assert sorted(grant.gpu_ids[0] for grant in granted if grant) == ["0", "1"]
    await other.cancel(runs[0].name, 0)
    assert (await end_of(launcher, runs[0])).state is RunState.STOPPED
    await SUITE.until(launcher, runs[2].name, RunState.RUNNING)
    await launcher.cleanup(runs[0].name)
    assert (await other.poll([runs[0].name]))[runs[0].name].state is RunState.ABSENT


async def test_a_gateway_that_does_not_let_go_makes_the_engine_unavailable(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 0.0)
    with Turn(tmp_path / "runs").taken(), pytest.raises(EngineUnavailable):
        await launcher.poll([])
    assert await launcher.poll([]) == {}
