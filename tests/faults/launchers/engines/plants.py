"""Bugs that any launcher could have."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from faults.launchers.engine import Plants
from tunegate.sdk.launcher import EngineUnavailable, Launcher, LaunchRefused


def usual(
    launcher: type[Launcher],
    twice: Callable[[], AbstractContextManager[object]],
    submit: str = "submit",
) -> Plants:
    """`twice` starts each run twice. `submit` names the method that talks with the engine to launch a run."""

    def forgets_cleanup() -> AbstractContextManager[object]:
        return mock.patch.object(launcher, "cleanup", mock.AsyncMock())

    def gives_up_at_trouble() -> AbstractContextManager[object]:
        """Whatever goes wrong on the way is taken for a refusal of the run."""
        real = getattr(launcher, submit)

        async def refused(*args: Any) -> Any:
            try:
                return await real(*args)
            except EngineUnavailable as error:
                raise LaunchRefused(str(error)) from error

        return mock.patch.object(launcher, submit, refused)

    return {
        "left in the engine": forgets_cleanup,
        "launch_failed": gives_up_at_trouble,
        "was started": twice,
    }
