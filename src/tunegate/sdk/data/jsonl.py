"""JSON Lines: one object per line."""

from typing import Any, BinaryIO

import msgspec

from tunegate.sdk.data.source import RowError, Rows, SourceRow, read_lines

_DECODER = msgspec.json.Decoder(dict[str, Any])


def read_jsonl(stream: BinaryIO, name: str, *, cut: bool) -> Rows:
    """The objects of a JSONL stream; blank lines are passed over."""
    for item in read_lines(stream, name, cut=cut):
        if isinstance(item, RowError):
            yield item
            continue
        number, offset, line = item
        if not line or line.isspace():
            continue
        try:
            yield SourceRow(line=number, value=_DECODER.decode(line))
        except UnicodeDecodeError:
            reason = f"not UTF-8 (the line starts at byte {offset})"
            yield RowError(file=name, line=number, reason=reason)
        except msgspec.ValidationError as error:
            yield RowError(file=name, line=number, reason=f"not a JSON object: {error}")
        except msgspec.DecodeError as error:
            reason = f"not JSON: {error} (the line starts at byte {offset})"
            yield RowError(file=name, line=number, reason=reason)
        except RecursionError:
            yield RowError(file=name, line=number, reason="the JSON is nested too deeply")
