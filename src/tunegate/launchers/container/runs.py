"""What to do next for the runs of one engine. Pure: from what lies on disk and what the engine has."""

from collections.abc import Mapping, Sequence

from tunegate.contract.base import Wire
from tunegate.launchers.container.client import Listed
from tunegate.launchers.container.names import grant_of
from tunegate.launchers.container.states import OVER, Stop
from tunegate.launchers.container.waiting import View
from tunegate.launchers.local.queue import Grant


class Due(Wire):
    """Runs by what they need; each run is in one of them at most."""

    waiting: list[str] = []
    """Have no container yet, in the order of their submission."""
    to_start: list[str] = []
    """Have one that was not started, as after a crash of the gateway."""
    to_stop: list[str] = []
    """Live beyond their time: the launcher's own backstop."""
    to_kill: list[str] = []
    """Were asked to stop, and their grace is over."""
    held: list[Grant] = []
    """What the containers hold that are not over."""


def due(views: Mapping[str, View], listed: Mapping[str, Listed], now_ms: int) -> Due:
    """What is to be done at `now_ms` (milliseconds since 1970)."""
    waiting: list[str] = []
    to_start: list[str] = []
    to_stop: list[str] = []
    to_kill: list[str] = []
    for name, view in views.items():
        container = listed.get(name)
        if view.end is not None or (container is not None and is_over(container)):
            continue
        if container is None:
            if view.begun is None and view.stop is None:
                waiting.append(name)
        elif view.stop is not None:
            if now_ms >= view.stop.kill_at_ms:
                to_kill.append(name)
        elif view.begun is None:
            to_start.append(name)
        elif now_ms >= view.begun.end_at_ms:
            to_stop.append(name)
    return Due(
        waiting=waiting,
        to_start=to_start,
        to_stop=to_stop,
        to_kill=to_kill,
        held=held_by(list(listed.values())),
    )


def held_by(listed: Sequence[Listed]) -> list[Grant]:
    """Containers that are over hold nothing; of all others it is theirs until they are."""
    return [grant_of(one.labels or {}) for one in listed if not is_over(one)]


def is_over(container: Listed) -> bool:
    return container.state.lower() in OVER


def sooner(known: Stop | None, wish: Stop) -> Stop:
    """A second wish may be more impatient; the first one's cause stands."""
    if known is None:
        return wish
    return Stop(cause=known.cause, kill_at_ms=min(known.kill_at_ms, wish.kill_at_ms))
