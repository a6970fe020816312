"""The little of S3 that launchers ask for, in memory: put, get, delete, list. Strongly consistent, as Amazon's is."""

from typing import Self
from xml.sax.saxutils import escape

from aiohttp import web

from faults.launchers.weather import Weather

_LIST = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>{}</ListBucketResult>'
_ERROR = "<Error><Code>{}</Code><Message>{}</Message></Error>"


class MemoryS3:
    """An async context manager; `objects` by `bucket/key`."""

    def __init__(self, weather: Weather) -> None:
        self.objects: dict[str, bytes] = {}
        self.url = ""
        self._weather = weather

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        strike = await self._weather.strike()
        answer = self._do(request, body) if strike.has_effect else None
        if strike.kind in ("cut", "cut after") and request.transport is not None:
            request.transport.abort()
        if strike.kind == "fine" and answer is not None:
            return answer
        return _error(strike.status or 503, "SlowDown")

    def _do(self, request: web.Request, body: bytes) -> web.Response:
        place = request.match_info["path"]
        if request.method == "GET" and "list-type" in request.query:
            return self._list(place.rstrip("/"), request.query.get("prefix", ""))
        if request.method == "PUT":
            self.objects[place] = _unchunked(body, request)
            return web.Response(headers={"ETag": '"0"'})
        if request.method == "DELETE":
            self.objects.pop(place, None)
            return web.Response(status=204)
        if place not in self.objects:
            return _error(404, "NoSuchKey")
        return web.Response(body=self.objects[place], headers={"ETag": '"0"'})

    def _list(self, bucket: str, prefix: str) -> web.Response:
        start = f"{bucket}/{prefix}"
        keys = (
            name.removeprefix(f"{bucket}/")
            for name in sorted(self.objects)
            if name.startswith(start)
        )
        rows = (f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys)
        return web.Response(text=_LIST.format("".join(rows)), content_type="application/xml")


def _unchunked(body: bytes, request: web.Request) -> bytes:
    """Without the frames of `aws-chunked`, in which clients send a checksum behind the bytes."""
    if "aws-chunked" not in request.headers.get("Content-Encoding", ""):
        return body
    size, _, rest = body.partition(b"\r\n")
    return rest[: int(size.split(b";")[0], 16)]


def _error(status: int, code: str) -> web.Response:
    return web.Response(
        status=status, text=_ERROR.format(code, "try later"), content_type="application/xml"
    )
