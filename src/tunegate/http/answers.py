"""Good answers: wire types as JSON bytes. A Secret in one of them is a TypeError here, and so never leaves."""

import msgspec
from litestar import Response

_encoder = msgspec.json.Encoder()


def json_answer(
    value: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """The value as application/json."""
    return Response(
        _encoder.encode(value), status_code=status, headers=headers, media_type="application/json"
    )
