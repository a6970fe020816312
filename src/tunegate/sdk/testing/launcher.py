"""`LauncherConformance`: what every launcher must do, tried with real runs that take seconds.

    class TestMine(LauncherConformance):
        @pytest.fixture
        def make_launcher(self, tmp_path):
            context = LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
            return lambda: MyLauncher(MySettings(), context)

The runs are small Python programs; `container` says how the engine starts one.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.sdk.launcher import FINISHED, Launcher, Run, RunState, RunStatus
from tunegate.sdk.testing.purity import forbid_effects

TOKEN = f"claim-token-{uuid.uuid4().hex}"
SLEEP = "import time; print('begun', flush=True); time.sleep(60)"
POLITE = (
    "import signal, sys, time;"
    "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(print('bye'))));"
    "print('begun', flush=True); time.sleep(60)"
)
"""Its last word takes a moment, so that no grace at all is seen."""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('begun', flush=True); time.sleep(60)"
)
MakeLauncher = Callable[[], Launcher]


class LauncherConformance:
    """The suite. A launcher says where it differs by the class variables."""

    deadline_s: ClassVar[float] = 30.0
    """How long the engine may take for one step of a run's life."""
    small: ClassVar[ResourceRequest] = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20)
    """Several of these run at once."""
    whole: ClassVar[ResourceRequest] = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)
    """One of these fills the engine."""

    @pytest.fixture
    def make_launcher(self) -> MakeLauncher:
        """Every call gives a new launcher over the same engine and state, as after a restart."""
        raise LookupError("the subclass has to give a fixture `make_launcher`")

    @pytest.fixture
    async def launcher(self, make_launcher: MakeLauncher) -> AsyncIterator[Launcher]:
        launcher = make_launcher()
        await launcher.start()
        yield launcher
        for name in await launcher.list_runs():
            await launcher.cleanup(name)
        await self.eventually(launcher, lambda _, names: not names)
        await launcher.close()

    def container(self, program: str, resources: ResourceRequest) -> ContainerSpec:
        files = [ContainerFile(path="job.json", content='{"sample": true}')]
        command = ["python", "-c", program, "{files}/job.json"]
        return ContainerSpec(image="python:3", command=command, resources=resources, files=files)

    def run(self, program: str, resources: ResourceRequest | None = None) -> Run:
        """A run of its own name."""
        name = f"run-{uuid.uuid4().hex[:12]}"
        return Run(
            name=name,
            job_id=name,
            attempt=1,
            attempt_id=f"{name}-1",
            container=self.container(program, resources or self.small),
            gateway_url="http://127.0.0.1:1",
            claim_token=Secret(TOKEN),
            grace_s=5.0,
        )

    async def eventually(
        self, launcher: Launcher, holds: Callable[[dict[str, RunStatus], list[str]], bool]
    ) -> dict[str, RunStatus]:
        """Look until `holds(statuses, names)`; the statuses of all runs that are there."""
        end = time.monotonic() + self.deadline_s
        while True:
            names = await launcher.list_runs()
            statuses = await launcher.poll(names)
            if holds(statuses, await launcher.list_runs()):
                return statuses
            assert time.monotonic() < end, f"still {statuses}"
            await asyncio.sleep(0.05)

    async def until(self, launcher: Launcher, name: str, *states: RunState) -> RunStatus:
        seen = await self.eventually(launcher, lambda all_, _: all_[name].state in states)
        return seen[name]

    async def until_said(self, launcher: Launcher, name: str, word: str) -> None:
        end = time.monotonic() + self.deadline_s
        while word not in await text(launcher, name):
            assert time.monotonic() < end, f"never said {word!r}"
            await asyncio.sleep(0.05)
            await launcher.poll([name])

    async def test_unknown_runs(self, launcher: Launcher) -> None:
        statuses = await launcher.poll(["run-nobody"])
        assert statuses["run-nobody"].state is RunState.ABSENT
        assert await launcher.poll([]) == {}
        await launcher.cancel("run-nobody", 1.0)
        await launcher.cleanup("run-nobody")
        assert await text(launcher, "run-nobody") == ""

    async def test_success(self, launcher: Launcher) -> None:
        run = self.run("import json, sys; print('read', json.load(open(sys.argv[1])))")
        await launcher.submit(run)
        status = await self.until(launcher, run.name, *FINISHED)
        assert status.state is RunState.SUCCEEDED, status
        assert "read {'sample': True}" in await text(launcher, run.name)

    async def test_exit_code(self, launcher: Launcher) -> None:
        run = self.run("import sys; sys.exit(67)")
        await launcher.submit(run)
        status = await self.until(launcher, run.name, *FINISHED)
        assert (status.state, status.exit_code) == (RunState.FAILED, 67)

    async def test_submitting_again_adopts(self, launcher: Launcher, tmp_path: Path) -> None:
        mark = tmp_path / "mark"
        run = self.run(f"open({str(mark)!r}, 'a').write('x')")
        await asyncio.gather(*(launcher.submit(run) for _ in range(3)))
        await self.until(launcher, run.name, *FINISHED)
        await launcher.submit(run)
        status = await self.until(launcher, run.name, *FINISHED)
        assert status.state is RunState.SUCCEEDED
        assert mark.read_text() == "x", "the run was started more than once"

    async def test_cancel_gives_grace(self, launcher: Launcher) -> None:
        run = self.run(POLITE)
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        await launcher.cancel(run.name, 20.0)
        await launcher.cancel(run.name, 20.0)
        status = await self.until(launcher, run.name, *FINISHED)
        assert status.state is RunState.STOPPED, status
        assert "bye" in await text(launcher, run.name)

    async def test_cancel_kills_after_the_grace(self, launcher: Launcher) -> None:
        run = self.run(STUBBORN)
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        await launcher.cancel(run.name, 0.3)
        status = await self.until(launcher, run.name, *FINISHED)
        assert status.state is RunState.STOPPED, status

    async def test_cancel_after_the_end_changes_nothing(self, launcher: Launcher) -> None:
        run = self.run("print('done')")
        await launcher.submit(run)
        await self.until(launcher, run.name, RunState.SUCCEEDED)
        await launcher.cancel(run.name, 0.0)
        assert (await launcher.poll([run.name]))[run.name].state is RunState.SUCCEEDED

    async def test_logs_from_an_offset(self, launcher: Launcher) -> None:
        run = self.run("print('0123456789')")
        await launcher.submit(run)
        await self.until(launcher, run.name, RunState.SUCCEEDED)
        whole = await text(launcher, run.name)
        start = whole.index("5")
        assert (await text(launcher, run.name, offset=start)) == whole[start:]

    async def test_logs_follow_to_the_end(self, launcher: Launcher) -> None:
        if not launcher.capabilities.follows_logs:
            pytest.skip("this engine does not follow")
        run = self.run(
            "import time\nfor n in range(3): print('line', n, flush=True); time.sleep(.1)"
        )
        await launcher.submit(run)
        chunks = [chunk async for chunk in launcher.logs(run.name, follow=True)]
        said = b"".join(chunks).decode()
        assert [line for line in said.splitlines() if line.startswith("line")] == [
            "line 0", "line 1", "line 2",
        ]  # fmt: skip

    async def test_cleanup(self, launcher: Launcher) -> None:
        run = self.run("print('done')")
        await launcher.submit(run)
        assert run.name in await launcher.list_runs()
        await self.until(launcher, run.name, RunState.SUCCEEDED)
        await launcher.cleanup(run.name)
        await launcher.cleanup(run.name)
        await self.eventually(launcher, lambda _, names: run.name not in names)
        assert (await launcher.poll([run.name]))[run.name].state is RunState.ABSENT

    async def test_cleanup_of_a_living_run(self, launcher: Launcher) -> None:
        mark = uuid.uuid4().hex
        run = self.run(f"{SLEEP}  # {mark}")
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        await launcher.cleanup(run.name)
        await self.eventually(launcher, lambda _, names: run.name not in names)
        assert not seen_in_processes(mark), "the run lives on"

    async def test_runs_survive_the_gateway(
        self, launcher: Launcher, make_launcher: MakeLauncher, tmp_path: Path
    ) -> None:
        if not launcher.capabilities.survives_gateway:
            pytest.skip("runs of this engine end with the gateway")
        go = tmp_path / "go"
        waits = self.run(
            "import os, time; print('begun', flush=True)\n"
            f"while not os.path.exists({str(go)!r}): time.sleep(.05)"
        )
        fails = self.run("import sys; sys.exit(5)")
        for run in (waits, fails):
            await launcher.submit(run)
        await self.until_said(launcher, waits.name, "begun")
        heir = make_launcher()
        await heir.start()
        assert {waits.name, fails.name} <= set(await heir.list_runs())
        await heir.submit(waits)
        seen = (await heir.poll([waits.name]))[waits.name]
        assert seen.state in (RunState.STARTING, RunState.RUNNING), seen  # its word may be ahead
        await self.until(heir, waits.name, RunState.RUNNING)
        assert (await self.until(heir, fails.name, *FINISHED)).exit_code == 5
        go.touch()
        assert (await self.until(heir, waits.name, *FINISHED)).state is RunState.SUCCEEDED
        await heir.close()

    async def test_waits_when_full(self, launcher: Launcher) -> None:
        if not launcher.capabilities.queues:
            pytest.skip("this engine does not queue")
        first, second = self.run(SLEEP, self.whole), self.run("print('done')", self.whole)
        await launcher.submit(first)
        await self.until_said(launcher, first.name, "begun")
        await launcher.submit(second)
        status = (await launcher.poll([second.name]))[second.name]
        assert status.state is RunState.PENDING
        assert status.reason, "say what it waits for"
        await launcher.cancel(first.name, 0.0)
        await self.until(launcher, second.name, RunState.SUCCEEDED)

    async def test_cancel_while_waiting(self, launcher: Launcher) -> None:
        if not launcher.capabilities.queues:
            pytest.skip("this engine does not queue")
        first, second = self.run(SLEEP, self.whole), self.run(SLEEP, self.whole)
        await launcher.submit(first)
        await launcher.submit(second)
        await launcher.cancel(second.name, 5.0)
        assert (await self.until(launcher, second.name, *FINISHED)).state is RunState.STOPPED

    def test_render(self, make_launcher: MakeLauncher) -> None:
        launcher, run = make_launcher(), self.run(SLEEP)
        before = launcher.render(run)
        with forbid_effects():
            assert launcher.render(run) == before
        assert TOKEN not in repr(before), "the rendered request shows the claim token"

    def test_refuses_more_nodes_than_it_has(self, make_launcher: MakeLauncher) -> None:
        launcher = make_launcher()
        if launcher.capabilities.multi_node:
            pytest.skip("this engine has many nodes")
        many = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20, nodes=2)
        problems, _ = launcher.review(self.container(SLEEP, many), {})
        assert [problem.path for problem in problems] == ["$.resources.nodes"]

    async def test_the_token_shows_nowhere(self, launcher: Launcher) -> None:
        run = self.run(f"import os, sys; print(os.environ, sys.argv); {SLEEP}")
        await launcher.submit(run)
        await self.until_said(launcher, run.name, "begun")
        assert TOKEN not in await text(launcher, run.name)
        assert not seen_in_processes(TOKEN), "the claim token is in an argument list or environment"

    async def test_the_gateways_secrets_stay(
        self, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = uuid.uuid4().hex
        monkeypatch.setenv("TRAINER_API_TOKEN", secret)
        run = self.run("import os; print(os.environ)")
        await launcher.submit(run)
        await self.until(launcher, run.name, RunState.SUCCEEDED)
        assert secret not in await text(launcher, run.name)

    async def test_leaves_no_process_behind(self, launcher: Launcher) -> None:
        mark = uuid.uuid4().hex
        child = f"import time; time.sleep(60)  # {mark}"
        run = self.run(
            f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); print('begun')"
        )
        await launcher.submit(run)
        await self.until(launcher, run.name, RunState.SUCCEEDED)
        await launcher.cleanup(run.name)
        await self.eventually(launcher, lambda _, names: run.name not in names)
        assert not seen_in_processes(mark), "a child of the run lives on"


async def text(launcher: Launcher, name: str, *, offset: int = 0) -> str:
    """The log so far."""
    chunks = [chunk async for chunk in launcher.logs(name, follow=False, offset=offset)]
    return b"".join(chunks).decode(errors="replace")


def seen_in_processes(word: str) -> Sequence[int]:
    """Processes of this machine whose argument list or environment holds `word`."""
    return [pid for pid, content in _processes() if word.encode() in content]


def _processes() -> Iterable[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            yield int(entry.name), content
