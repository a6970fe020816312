"""Rules of the suite must be able to fail: one broken launcher for each of these."""

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunegate.launchers.local import LocalLauncher
from tunegate.launchers.local.settings import LocalSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext, NativeRequest, Run
from tunegate.sdk.testing.launcher import LauncherConformance


class Suite(LauncherConformance):
    deadline_s = 1.0


SUITE = Suite()


class ShowsTheToken(LocalLauncher):
    def render(self, run: Run) -> NativeRequest:
        return NativeRequest(kind="process", body={"token": run.claim_token.reveal()})


class PassesTheToken(LocalLauncher):
    async def submit(self, run: Run) -> None:
        spec = msgspec.structs.replace(run.container, env={"T": run.claim_token.reveal()})
        await super().submit(msgspec.structs.replace(run, container=spec))


class Doubles(LocalLauncher):
    async def submit(self, run: Run) -> None:
        await super().submit(msgspec.structs.replace(run, name=f"{run.name}-again"))
        await super().submit(run)


class Impatient(LocalLauncher):
    async def cancel(self, name: str, grace_s: float) -> None:
        await super().cancel(name, 0.0)


class Deaf(LocalLauncher):
    async def cancel(self, name: str, grace_s: float) -> None:
        return


class Hoards(LocalLauncher):
    async def cleanup(self, name: str) -> None:
        return


class TellsAll(LocalLauncher):
    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        return super().logs(name, follow=follow)


class HangsUp(LocalLauncher):
    def logs(self, name: str, *, follow: bool, offset: int = 0) -> AsyncIterator[bytes]:
        return super().logs(name, follow=False)


Rule = Callable[..., Coroutine[Any, Any, None]]


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (SUITE.test_the_token_shows_nowhere, PassesTheToken),
        (SUITE.test_cancel_gives_grace, Impatient),
        (SUITE.test_cancel_kills_after_the_grace, Deaf),
        (SUITE.test_cancel_while_waiting, Deaf),
        (SUITE.test_cleanup, Hoards),
        (SUITE.test_cleanup_of_a_living_run, Hoards),
        (SUITE.test_logs_from_an_offset, TellsAll),
        (SUITE.test_logs_follow_to_the_end, HangsUp),
    ],
)
async def test_rule_can_fail(rule: Rule, broken: type[LocalLauncher], tmp_path: Path) -> None:
    launcher = new(broken, tmp_path)
    await launcher.start()
    with pytest.raises(AssertionError):
        await rule(launcher)
    await sweep(tmp_path)


async def test_doubled_runs_are_seen(tmp_path: Path) -> None:
    launcher = new(Doubles, tmp_path)
    await launcher.start()
    with pytest.raises(AssertionError):
        await SUITE.test_submitting_again_adopts(launcher, tmp_path)
    await sweep(tmp_path)


def test_a_rendered_token_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        SUITE.test_render(lambda: new(ShowsTheToken, tmp_path))


def new(kind: type[LocalLauncher], tmp_path: Path) -> LocalLauncher:
    context = LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
    return kind(LocalSettings(gpus=0, cpus=4, memory_gb=4), context)


async def sweep(tmp_path: Path) -> None:
    """What a broken launcher left is removed by a good one."""
    launcher = new(LocalLauncher, tmp_path)
    await launcher.start()
    for name in await launcher.list_runs():
        await launcher.cleanup(name)
    await LauncherConformance().eventually(launcher, lambda _, names: not names)
