"""What a container said: frames of `[stream, 0, 0, 0, length as 4 bytes]` and so many bytes."""

from collections.abc import AsyncIterable, AsyncIterator

_HEAD = 8


async def frames(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The bytes of both streams in the order in which the engine has them."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        said: list[bytes] = []
        while len(rest) >= _HEAD:
            end = _HEAD + int.from_bytes(rest[4:_HEAD], "big")
            if len(rest) < end:
                break
            said.append(rest[_HEAD:end])
            rest = rest[end:]
        if said:
            yield b"".join(said)


async def skip(chunks: AsyncIterable[bytes], offset: int) -> AsyncIterator[bytes]:
    """All but the first `offset` bytes."""
    async for chunk in chunks:
        if offset < len(chunk):
            yield chunk[offset:]
        offset = max(0, offset - len(chunk))
