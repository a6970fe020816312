"""Server-sent events out of bytes, as the HTML standard has them."""

from collections.abc import Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One event of the stream."""

    event: str
    data: str
    id: str


class SseParser:
    """Takes chunks as they come, cut anywhere. `retry_s` is what the stream asked for, None before."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._event = ""
        self._id = ""
        self.retry_s: float | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The events that are whole by now."""
        whole = (self._rest + chunk).replace(b"\r\n", b"\n")
        *lines, self._rest = whole.split(b"\n")
        for line in lines:
            yield from self._line(line.decode(errors="replace"))

    def _line(self, line: str) -> Iterator[Message]:
        if not line:
            if self._data:
                yield Message(self._event, "\n".join(self._data), self._id)
            self._data, self._event = [], ""
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id":
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_s = int(value) / 1000
            case _:
                pass
