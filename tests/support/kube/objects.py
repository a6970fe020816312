"""Objects of an API server in memory: names, versions, watches, owners and what goes with them."""

import asyncio
import copy
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]
"""Path of the collection, and name."""


class Conflict(Exception):
    """An object of that name is there."""


class Objects:
    """`history` is what a watch is told: version, path, kind of change, the object after it."""

    def __init__(self) -> None:
        self.all: dict[Key, Object] = {}
        self.history: list[tuple[int, str, str, Object]] = []
        self.created: list[str] = []
        self.changed = asyncio.Event()
        self.version = 0
        self.on_pod_deleted: Callable[[Key, Object], None] = self._remove_pod
        self.collected_after_s = 0.0
        """How long the collector takes to see that an owner is gone."""
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def of(self, path: str) -> Iterator[Object]:
        return (one for (where, _), one in sorted(self.all.items()) if where == path)

    def create(self, path: str, manifest: Object) -> Object:
        made = copy.deepcopy(manifest)
        key = (path, made["metadata"]["name"])
        if key in self.all:
            raise Conflict
        made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._time(0)}
        made["metadata"]["namespace"] = path.split("/")[-2]
        self.created.append(f"{path}/{key[1]}")
        return self._tell(key, made, "ADDED")

    def update(self, path: str, name: str, change: Object) -> Object:
        """A JSON merge patch."""
        made = _merged(copy.deepcopy(self.all[path, name]), change)
        return self._tell((path, name), made, "MODIFIED")

    def delete(self, key: Key, *, foreground: bool = False, grace_s: int | None = None) -> None:
        """Pods have a grace; others go at once, or once what they own is gone."""
        found = self.all[key]
        if key[0].endswith("/pods"):
            self._delete_pod(key, found, grace_s)
            return
        owned = list(self._owned_by(found))
        if foreground and owned:
            if "deletionTimestamp" not in found["metadata"]:
                self.update(*key, {"metadata": {"deletionTimestamp": self._time(0)}})
            for one in owned:
                if one in self.all:
                    self.delete(one, foreground=True)
            return
        self.remove(key)
        if self.collected_after_s:
            asyncio.get_running_loop().call_later(self.collected_after_s, self._collect, owned)
        else:
            self._collect(owned)

    def _collect(self, orphans: list[Key]) -> None:
        for one in orphans:
            if one in self.all:
                self.delete(one)

    def remove(self, key: Key) -> None:
        """It is gone, and so are owners that only waited for it."""
        gone = self.all.pop(key)
        self._tell(key, gone, "DELETED")
        uids = {owner["uid"] for owner in gone["metadata"].get("ownerReferences", ())}
        for other, one in list(self.all.items()):
            waits = "deletionTimestamp" in one["metadata"] and not other[0].endswith("/pods")
            if one["metadata"]["uid"] in uids and waits and not any(self._owned_by(one)):
                self.remove(other)

    def _owned_by(self, owner: Object) -> Iterator[Key]:
        uid = owner["metadata"]["uid"]
        for key, one in self.all.items():
            if any(ref["uid"] == uid for ref in one["metadata"].get("ownerReferences", ())):
                yield key

    def _delete_pod(self, key: Key, pod: Object, grace_s: int | None) -> None:
        usual = pod["spec"].get("terminationGracePeriodSeconds", 30)
        end = self._time(usual if grace_s is None else grace_s)
        known = pod["metadata"].get("deletionTimestamp")
        if known is None or end < known:
            self.update(*key, {"metadata": {"deletionTimestamp": end}})
        self.on_pod_deleted(key, self.all[key])

    def _time(self, from_now_s: float) -> str:
        return (self.now() + timedelta(seconds=from_now_s)).isoformat(timespec="seconds")

    def _remove_pod(self, key: Key, _pod: Object) -> None:
        self.remove(key)

    def _tell(self, key: Key, one: Object, kind: str) -> Object:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        if kind != "DELETED":
            self.all[key] = one
        self.history.append((self.version, key[0], kind, copy.deepcopy(one)))
        self.changed.set()
        self.changed = asyncio.Event()
        return one


def _merged(old: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made
