"""The audit log: what an entry says, how entries are chained, and how a chain is verified. Pure.

A sealed entry is one line of canonical JSON (keys sorted, no spaces) that holds the SHA-256 of the line before it, so
that `sha256sum` of a line is what the next one calls `previous`. The hash of the newest line, noted elsewhere, vouches
for all before it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from tunegate.contract.audit import FIRST, AuditEntry, AuditHead, Value
from tunegate.contract.base import Wire
from tunegate.control.caller import Caller

TRIMMED = "audit.trimmed"
"""The kind of the entry that vouches for older ones which retention removed."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Happening(Wire):
    """Something to be written down. Never secrets, addresses or texts of clients: `data` holds names and numbers."""

    kind: str
    tenant: str = ""
    job: str = ""
    uid: str = ""
    data: dict[str, Value] = {}


class AuditFilter(Wire):
    """None = any. `kind` is a whole kind or, ending in a dot, the beginning of some; times in ms since 1970."""

    tenant: str | None = None
    kind: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class Sealed(Wire):
    """What one step of sealing did; `head` is None when another gateway was at it."""

    count: int
    head: AuditHead | None


def arrival(happening: Happening, caller: Caller, at: str) -> bytes:
    """An entry that is not chained yet."""
    said: dict[str, Any] = {"at": at, "by": caller.token, "kind": happening.kind}
    for name in ("tenant", "job", "uid", "data"):
        if value := getattr(happening, name):
            said[name] = value
    if caller.request:
        said["request"] = caller.request
    return msgspec.json.encode(said)


class Link(NamedTuple):
    """A sealed line, and the head that it makes."""

    head: AuditHead
    kind: str
    tenant: str
    line: bytes


def chained(head: AuditHead, arrived: bytes) -> Link:
    """The arrival as the line that follows `head`."""
    sequence = head.sequence + 1
    said: dict[str, Any] = _decode(arrived) | {"sequence": sequence, "previous": head.hash}
    line = msgspec.json.encode(said, order="sorted")
    after = AuditHead(sequence=sequence, hash=hash_of(line))
    return Link(after, said["kind"], said.get("tenant", ""), line)


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


class Verifier:
    """Takes lines in order; `problems` says what does not fit. A removed, changed or moved line breaks the chain."""

    def __init__(self, anchor: str | None = None) -> None:
        """`anchor`: a head that was noted before and must be found again."""
        self._anchor = anchor
        self._found = anchor is None
        self._begins: tuple[int, str] | None = None
        self._vouched: dict[int, str] = {}
        self.problems: list[str] = []
        self.head = AuditHead()
        self.count = 0

    @property
    def first(self) -> int:
        """The number of the first line."""
        return self._begins[0] if self._begins is not None else 0

    def take(self, line: bytes) -> None:
        try:
            entry = msgspec.json.decode(line, type=AuditEntry)
        except msgspec.MsgspecError:
            self.problems.append(f"What follows entry {self.head.sequence} can't be read.")
            return
        if self._begins is None:
            self._begins = (entry.sequence, entry.previous)
            self._found = self._found or self._anchor == entry.previous
        elif entry.sequence != self.head.sequence + 1:
            self.problems.append(
                f"Entry {entry.sequence} follows {self.head.sequence}: something was removed or moved."
            )
        elif entry.previous != self.head.hash:
            self.problems.append(
                f"Entry {self.head.sequence} is not what it was when it was sealed."
            )
        self.head = AuditHead(sequence=entry.sequence, hash=hash_of(line))
        self.count += 1
        self._found = self._found or self._anchor == self.head.hash
        if entry.kind == TRIMMED:
            self._vouch(entry.data)

    def finish(self, head: AuditHead | None = None) -> list[str]:
        """All problems. `head` is what the store keeps as its newest entry."""
        self._check_beginning()
        if head is not None and head != self.head:
            self.problems.append(
                f"The log ends with entry {self.head.sequence}, but {head.sequence} was sealed."
                if head.sequence != self.head.sequence
                else f"Entry {head.sequence} is not what it was when it was sealed."
            )
        if not self._found:
            self.problems.append("The head that you noted is not in this log.")
        return self.problems

    def _vouch(self, data: Mapping[str, Value]) -> None:
        through, cut = data.get("through"), data.get("hash")
        if isinstance(through, int) and isinstance(cut, str):
            self._vouched[through] = cut

    def _check_beginning(self) -> None:
        if self._begins is None:
            return
        sequence, previous = self._begins
        expected = FIRST if sequence == 1 else self._vouched.get(sequence - 1)
        if expected != previous:
            self.problems.append(
                f"The log begins with entry {sequence}, and no entry vouches for those before it."
            )


def verify(
    lines: Iterable[bytes], head: AuditHead | None = None, anchor: str | None = None
) -> list[str]:
    """What is wrong with a whole log; nothing when it is as it was written."""
    verifier = Verifier(anchor)
    for line in lines:
        verifier.take(line)
    return verifier.finish(head)
