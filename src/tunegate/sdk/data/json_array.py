"""A JSON file that is one array of objects, read element by element."""

import codecs
import json
import re
from typing import Any, BinaryIO, NoReturn

from tunegate.sdk.data.source import MAX_ROW_BYTES, RowError, Rows, SourceRow

_CHUNK_BYTES = 2**16
_SPACE = re.compile(r"[ \t\n\r]*")


def read_json_array(stream: BinaryIO, name: str, *, cut: bool) -> Rows:
    """The objects of the array; the first error ends it, for nothing after it can be placed.

    `cut`: the stream is the beginning of a longer one, so an unfinished end is no error.
    """
    window = _Window(stream)
    try:
        yield from _elements(window, name)
    except UnicodeDecodeError as error:
        line = window.last_line + error.object[: error.start].count(b"\n")
        yield RowError(file=name, line=line, reason="not UTF-8")
    except RecursionError:
        yield RowError(file=name, line=window.line, reason="the JSON is nested too deeply")
    except json.JSONDecodeError as error:
        if not (cut and window.ended):
            yield RowError(file=name, line=window.line, reason=f"not JSON: {error.msg}")


def _elements(window: "_Window", name: str) -> Rows:
    window.expect("[")
    if window.peek() == "]":
        return
    while True:
        window.peek()
        line = window.line
        value = window.element()
        if not isinstance(value, dict):
            yield RowError(file=name, line=line, reason="an element of the array is not an object")
            return
        yield SourceRow(line=line, value=value)
        if window.peek() == "]":
            return
        window.expect(",")


class _Window:
    """The part of the text that is in memory: never much more than one element."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=_refuse)
        self._text = ""
        self.line = 1
        self.ended = False

    @property
    def last_line(self) -> int:
        """The line where the window ends."""
        return self.line + self._text.count("\n")

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        while True:
            self._drop(_end_of_space(self._text))
            if self._text or self.ended:
                return self._text[:1]
            self._fill(_CHUNK_BYTES)

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise json.JSONDecodeError(f"{character} expected", "", 0)
        self._drop(1)

    def element(self) -> Any:
        """The JSON value at the front; more text is read until it is whole, twice as much each time."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text)
            except json.JSONDecodeError:
                if self.ended or len(self._text) > MAX_ROW_BYTES:
                    raise
                self._fill(max(_CHUNK_BYTES, len(self._text)))
            else:
                self._drop(end)
                return value

    def _drop(self, count: int) -> None:
        self.line += self._text.count("\n", 0, count)
        self._text = self._text[count:]

    def _fill(self, size_bytes: int) -> None:
        chunk = self._stream.read(size_bytes)
        self.ended = len(chunk) == 0
        self._text += self._utf8.decode(chunk, final=self.ended)


def _end_of_space(text: str) -> int:
    match = _SPACE.match(text)
    return match.end() if match else 0


def _refuse(_: str) -> NoReturn:
    raise json.JSONDecodeError("NaN and Infinity are not JSON", "", 0)
