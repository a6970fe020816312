"""The attacker's own servers, as good as needed: web, S3, STS and event streams in one, and a name server."""

import asyncio
import base64
import hashlib
import re
from collections import Counter

from faults.egress.dns import NameServer
from faults.egress.namespace import NAME_SERVER

OBJECT = b"sixteen letters."
_RANGE = re.compile(r"\r\nrange: bytes=(\d+)-(\d*)\r\n", re.IGNORECASE)
_LENGTH = re.compile(r"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_KEY = re.compile(r"\r\nsec-websocket-key: (\S+)\r\n", re.IGNORECASE)
_ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
_BROKEN = (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Servers:
    """On every address of the namespace. `/to/STATUS/URL` redirects; what else is asked for is given."""

    def __init__(self) -> None:
        self.names = NameServer()
        self.given: Counter[str] = Counter()
        """Roles, objects (and parts of them), event streams and redirects that were handed out."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self.names, local_addr=(NAME_SERVER, 53))
        for port in (80, 443):
            for address in ("::", "0.0.0.0"):
                await asyncio.start_server(self._serve, address, port, backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            writer.write(self._answer(head, body))
            await writer.drain()
        except _BROKEN:
            pass
        finally:
            writer.close()

    def _answer(self, head: str, body: bytes) -> bytes:
        method, path, _ = head.split(" ", 2)
        if path.startswith("/to/"):
            _, _, status, target = path.split("/", 3)
            self.given["redirect"] += 1
            return _response(int(status), f"Location: {target}\r\n")
        if (key := _KEY.search(head)) is not None:
            self.given["stream"] += 1
            return _upgraded(key[1])
        if b"Action=AssumeRole" in body:
            self.given["role"] += 1
            return _response(200, "Content-Type: text/xml\r\n", _ROLE.encode())
        if method == "POST":
            self.given["push"] += 1
            return _response(200)
        return self._object(method, head)

    def _object(self, method: str, head: str) -> bytes:
        fields, content, status = 'ETag: "1"\r\nAccept-Ranges: bytes\r\n', OBJECT, 200
        if (asked := _RANGE.search(head)) is not None:
            start, stop = int(asked[1]), min(int(asked[2] or 99) + 1, len(OBJECT))
            content, status = OBJECT[start:stop], 206
            fields += f"Content-Range: bytes {start}-{stop - 1}/{len(OBJECT)}\r\n"
        self.given[f"{method} object"] += 1
        return _response(status, fields, content, send=method != "HEAD")


def _response(status: int, fields: str = "", content: bytes = b"", *, send: bool = True) -> bytes:
    head = f"HTTP/1.1 {status} x\r\n{fields}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode("latin-1") + (content if send else b"")


def _upgraded(key: str) -> bytes:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accept = base64.b64encode(digest).decode()
    return (
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()
