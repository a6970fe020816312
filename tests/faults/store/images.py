"""What a disk may hold when the power goes: all that was synced, and any part of what was not.

A file is made of sectors. Of each sector that was written since the last sync the disk may have any of the contents that it
had since then, and of the very last one of a write a torn half. A deletion may not have happened until the directory was
synced.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from faults.store.recording_disk import Operation

SECTOR_BYTES = 512
Image = dict[str, bytes]
"""Contents by file name; a file that is not there is not named."""


@dataclass
class DiskFile:
    """`kept` None: the file is not there. `loose` are the operations since the last sync."""

    kept: bytearray | None = None
    loose: list[Operation] = field(default_factory=list[Operation])

    def take(self, operation: Operation) -> None:
        if operation.kind == "sync":
            self._keep(len(self.loose))
        else:
            self.loose.append(operation)

    def directory_synced(self) -> None:
        """A deletion so far has happened, with all that went before it."""
        kinds = [operation.kind for operation in self.loose]
        if "delete" in kinds:
            self._keep(len(kinds) - kinds[::-1].index("delete"))

    def _keep(self, count: int) -> None:
        for operation in self.loose[:count]:
            self.kept = applied(self.kept, operation)
        del self.loose[:count]


def applied(content: bytearray | None, operation: Operation) -> bytearray | None:
    """The file after the operation."""
    if operation.kind == "delete":
        return None
    content = bytearray() if content is None else content
    end = operation.offset + len(operation.data)
    if operation.kind == "truncate":
        del content[operation.offset :]
        return content
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[operation.offset : end] = operation.data
    return content


def sectors(operation: Operation) -> list[Operation]:
    """A write, sector by sector; other operations as they are."""
    if operation.kind != "write":
        return [operation]
    parts: list[Operation] = []
    start, data = operation.offset, operation.data
    while data:
        length = SECTOR_BYTES - start % SECTOR_BYTES
        parts.append(operation._replace(offset=start, data=data[:length]))
        start, data = start + length, data[length:]
    return parts


class Disk:
    """The files as the operations so far have left them."""

    def __init__(self, image: Image | None = None) -> None:
        self.files = {name: DiskFile(bytearray(data)) for name, data in (image or {}).items()}

    def take(self, operation: Operation) -> None:
        self.files.setdefault(operation.file, DiskFile()).take(operation)
        if operation.with_directory:
            for each in self.files.values():
                each.directory_synced()

    def whole(self) -> Image:
        """Had the power stayed on."""
        return self._image({name: each.loose for name, each in self.files.items()})

    def images(self, count: int, chance: random.Random) -> Iterator[Image]:
        """Some of what may be found: nothing loose, all of it, each in order up to a sector, and any part of it."""
        if not any(each.loose for each in self.files.values()):
            yield self.whole()
            return
        yield self._image({})
        yield self.whole()
        for number in range(count - 2):
            way = _WAYS[number % len(_WAYS)]
            yield self._image(
                {name: way(each.loose, chance) for name, each in self.files.items() if each.loose}
            )

    def _image(self, parts: dict[str, list[Operation]]) -> Image:
        image: Image = {}
        for name, each in self.files.items():
            content = None if each.kept is None else bytearray(each.kept)
            for operation in parts.get(name, ()):
                content = applied(content, operation)
            if content is not None:
                image[name] = bytes(content)
        return image


def _any_part(loose: Sequence[Operation], chance: random.Random) -> list[Operation]:
    """Each sector is there with the same probability; what follows a deletion needs it."""
    share = chance.choice((0.1, 0.5, 0.9, 0.98))
    part: list[Operation] = []
    for operation in loose:
        if operation.kind == "delete" and chance.random() > share:
            break
        part += [sector for sector in sectors(operation) if chance.random() < share]
    return part


def _in_order(loose: Sequence[Operation], chance: random.Random) -> list[Operation]:
    """All up to some sector, and half of that one."""
    parts = [sector for operation in loose for sector in sectors(operation)]
    last = chance.randrange(len(parts))
    torn = parts[last]
    if torn.kind == "write":
        parts[last] = torn._replace(data=torn.data[: chance.randrange(len(torn.data) + 1)])
    return parts[: last + 1]


def _all_but_one(loose: Sequence[Operation], chance: random.Random) -> list[Operation]:
    parts = [sector for operation in loose for sector in sectors(operation)]
    missing = chance.randrange(len(parts))
    if parts[missing].kind == "delete":
        return parts[:missing]
    return parts[:missing] + parts[missing + 1 :]


def _last_alone(loose: Sequence[Operation], chance: random.Random) -> list[Operation]:
    """The latest operations overtook all the others."""
    if any(operation.kind == "delete" for operation in loose):
        return []
    return sectors(loose[-1])[chance.randrange(2) :]


_WAYS = (_any_part, _in_order, _any_part, _all_but_one, _last_alone, _any_part, _in_order)
