"""How an engine in memory misbehaves, where a test asks for it."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Trouble = Callable[[str, str], Awaitable[str | int | None]]
"""Asked before every call with its method and path: None; a status to refuse it with; `after` for an error once it had its
effect; `cut` or `cut after` for no answer, before or after the effect."""


async def no_trouble(_method: str, _path: str) -> None:
    return None


async def answer_with(
    trouble: Trouble,
    request: web.Request,
    act: Callable[[], Awaitable[web.StreamResponse]],
    refuse: Callable[[int | None], web.StreamResponse],
) -> web.StreamResponse:
    """`act` has the effect. `refuse` makes the engine's own error of a status, or of None when the effect was there."""
    how = await trouble(request.method, request.path)
    if isinstance(how, int):
        return refuse(how)
    if how == "cut":
        return cut(request)
    answer = await act()
    if how == "after":
        return refuse(None)
    return cut(request) if how == "cut after" else answer


def cut(request: web.Request) -> web.Response:
    """The connection goes without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
