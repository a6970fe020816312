"""Uvicorn's fast HTTP parser, mended where it fails: heads of any length, and bodies lost to an offer to upgrade."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT_BYTES = 65_536
"""Request line and headers together; what is read of the body along with them does not count."""
_OFFER = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
_PASSED_OVER = b"\r\nx-offer:"


class HttpProtocol(HttpToolsProtocol):
    """One connection. A head that is too long ends it with 400."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            # Clients that offer HTTP/2 send the body of their request all the same; the parser would drop it.
            head, end, body = data.partition(b"\r\n\r\n")
            data = _OFFER.sub(_PASSED_OVER, head) + end + body
            self._head_bytes += len(data)
        super().data_received(data)
        too_long = self._in_head and self._head_bytes > HEAD_LIMIT_BYTES
        if too_long and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()
