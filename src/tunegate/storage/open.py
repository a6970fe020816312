"""`open_store`: the right store for an address, found through the entry points `tunegate.storage`."""

from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import ObjectStore, Unsupported
from tunegate.storage.addresses import scheme_of

GROUP = "tunegate.storage"


def open_store(uri: str, policy: StoragePolicy, auth: Auth | None = None) -> ObjectStore:
    """A store for `uri`'s scheme, to be used in `async with`. Raises Unsupported for schemes nobody serves."""
    scheme = scheme_of(uri)
    known = _installed()
    found = {entry.value: entry for entry in known if entry.name == scheme}
    if not found:
        names = ", ".join(sorted({f"{entry.name}://" for entry in known}))
        raise Unsupported(f"No object store serves {scheme}:// addresses. Known are {names}.")
    if len(found) > 1:
        raise Unsupported(f"Several packages serve {scheme}://: {', '.join(sorted(found))}.")
    return _load(next(iter(found.values())))(policy, auth)


@cache
def _installed() -> EntryPoints:
    """What this process started with; to look through all packages takes milliseconds."""
    return entry_points(group=GROUP)


def _load(entry: EntryPoint) -> type[ObjectStore]:
    store = entry.load()
    if not (isinstance(store, type) and issubclass(store, ObjectStore)):
        raise Unsupported(f"{entry.value} is not an ObjectStore.")
    return store
