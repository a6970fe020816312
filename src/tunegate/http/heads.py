"""HEAD: what GET would answer, without the body. Health checks of load balancers ask this way."""

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send


class _HeadSent(BaseException):
    """All that was asked for is sent. No error: whoever handles those must let it pass."""


async def answer_head(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Let the application answer a GET and cut it off after the headers, so that a stream ends too."""

    async def send_head(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.start":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise _HeadSent

    as_get: HTTPScope = {**scope, "method": "GET"}  # the server looks into its own scope
    try:
        await app(as_get, receive, send_head)
    except* _HeadSent:
        pass
    finally:
        if "path_template" in as_get:
            scope["path_template"] = as_get["path_template"]  # for the access log
