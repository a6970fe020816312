"""Launchers that are watched: how long their engines take, how often they fail, and a span for each run handed over."""

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from tunegate.observe.metrics import ControlMetrics
from tunegate.sdk.launcher import Launcher, Run
from tunegate.tracing import Tracing

_CALLS = frozenset({"submit", "poll", "cancel", "cleanup", "list_runs"})
_Call = Callable[..., Coroutine[Any, Any, Any]]


def watched(
    launchers: Mapping[str, Launcher], metrics: ControlMetrics, tracing: Tracing | None
) -> dict[str, Launcher]:
    """The same launchers; whoever calls them sees no difference."""
    return {
        name: cast("Launcher", _WatchedLauncher(launcher, metrics, tracing))
        for name, launcher in launchers.items()
    }


class _WatchedLauncher:
    def __init__(
        self, launcher: Launcher, metrics: ControlMetrics, tracing: Tracing | None
    ) -> None:
        self._launcher = launcher
        self._metrics = metrics
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._launcher, name)
        if name not in _CALLS:
            return found
        call = self._traced(found) if name == "submit" and self._tracing is not None else found
        timed = self._timed(name, call)
        setattr(self, name, timed)
        return timed

    def _timed(self, name: str, call: _Call) -> _Call:
        seconds = self._metrics.engine_seconds.labels(self._launcher.name, name)
        errors = self._metrics.engine_errors.labels(self._launcher.name, name)

        async def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return await call(*arguments, **named)
            except Exception:
                errors.inc()
                raise
            finally:
                seconds.observe(time.perf_counter() - began_s)

        return timed

    def _traced(self, submit: _Call) -> _Call:
        tracing, name = cast("Tracing", self._tracing), self._launcher.name

        async def traced(run: Run) -> None:
            facts = {
                "tunegate.launcher": name,
                "tunegate.attempt": run.attempt,
                "tunegate.run": run.name,
            }
            with tracing.span("launch", parent=run.container.env, facts=facts):
                await submit(run)

        return traced
