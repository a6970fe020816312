"""`KeyService`: a service that wraps data keys with a key of its own that never leaves it, such as a cloud's KMS."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

Place = Mapping[str, str]
"""Where a data key belongs; the service binds it to the wrapped key, so that it opens for no other job."""


class DataKey(NamedTuple):
    """32 random bytes, in clear and wrapped."""

    plain: bytes
    wrapped: bytes


class KeyServiceUnavailable(Exception):
    """No answer, or one that may change: try again. The message names the trouble, never a value."""


class WrongKey(Exception):
    """The service will never open this: the bytes, the place or the key are not the ones it was wrapped with."""


class KeyService(Protocol):
    """An async context manager around all methods. They raise KeyServiceUnavailable, and `unwrap` WrongKey."""

    @property
    def key_id(self) -> str:
        """The key that wraps now."""
        ...

    async def new_key(self, place: Place) -> DataKey:
        """A fresh data key."""
        ...

    async def wrap(self, plain: bytes, place: Place) -> bytes:
        """A data key that came from elsewhere, wrapped with the key that wraps now."""
        ...

    async def unwrap(self, wrapped: bytes, place: Place, key_id: str) -> bytes:
        """The data key that was wrapped with `key_id`."""
        ...
