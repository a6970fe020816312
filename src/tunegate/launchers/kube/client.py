"""A thin client of one Kubernetes API server: kubernetes-asyncio finds and authenticates it, msgspec reads the answers."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from tunegate.launchers.kube.errors import ApiError, error_of
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import EngineUnavailable

try:
    import aiohttp
    from kubernetes_asyncio.client import ApiClient, Configuration
    from kubernetes_asyncio.config import load_incluster_config, load_kube_config
    from kubernetes_asyncio.config.config_exception import ConfigException
except ImportError as error:  # the module is named by an entry point, the library by an extra
    raise ImportError("The launchers of pods need `pip install 'tunegate[kubernetes]'`.") from error

T = TypeVar("T")
Propagation = Literal["Foreground", "Background"]
"""Whether an object goes after what it owns, or before."""
PAGE = 500
CONNECT_S = 5.0
READ_S = 60.0
"""Silence on a stream after which it counts as broken."""
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_QUERY = dict[str, str]


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Of a list: the version it shows, and how to go on where it is long."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[T] = []


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """A whole list and the version that a watch may go on from."""

    items: list[T]
    resource_version: str


class KubeClient:
    """Every call has a time limit. Trouble of the server's or on the way is EngineUnavailable, a refusal is ApiError.

    Connects at the first call; a token that is refused is read anew once, for they expire.
    """

    def __init__(self, settings: KubeSettings) -> None:
        self._settings = settings
        self._api: ApiClient | None = None
        self._connecting = asyncio.Lock()

    async def close(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def get(self, path: str, kind: type[T]) -> T | None:
        """One object as `kind`; None where there is none."""
        try:
            return msgspec.json.decode(await self._call("GET", path), type=kind)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def list(self, path: str, kind: type[T], **query: str) -> Listing[T]:
        """All objects that `query` (labelSelector, fieldSelector) chooses, however many pages they take."""
        items: list[T] = []
        more: _QUERY = {}
        while True:
            answer = await self._call("GET", path, {**query, "limit": str(PAGE), **more})
            page = msgspec.json.decode(answer, type=Page[kind])
            items.extend(page.items)
            if not page.metadata.continue_:
                return Listing(items=items, resource_version=page.metadata.resource_version)
            more = {"continue": page.metadata.continue_}

    async def create(self, path: str, manifest: Mapping[str, Any], kind: type[T]) -> T:
        """The created object. ApiError 409 where one of its name is there."""
        return msgspec.json.decode(await self._call("POST", path, body=manifest), type=kind)

    async def patch(self, path: str, change: Mapping[str, Any]) -> bool:
        """Apply a JSON merge patch; False where there is no such object."""
        return await self._if_there("PATCH", path, change)

    async def delete(
        self,
        path: str,
        *,
        propagation: Propagation | None = None,
        grace_s: int | None = None,
        uid: str | None = None,
    ) -> bool:
        """Ask for the object's removal (with `uid`: of that one alone); False where there is none."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._if_there("DELETE", path, options)

    async def stream(self, path: str, **query: str) -> AsyncIterator[bytes]:
        """The bytes of an answer that goes on: a watch, a log. Ends where the server ends it."""
        try:
            response = await self._send("GET", path, query, None, stream=True)
            async with response:
                if response.status >= 300:
                    raise error_of(response.status, await response.read())
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error

    async def _if_there(self, method: str, path: str, body: Mapping[str, Any]) -> bool:
        try:
            await self._call(method, path, body=body)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        for is_last in (False, True):
            try:
                response = await self._send(method, path, query, body, stream=False)
                async with response:
                    answer = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable(error) from error
            if response.status == 401 and not is_last:
                await self.close()
                continue
            if response.status >= 300:
                raise error_of(response.status, answer)
            return answer
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        *,
        stream: bool,
    ) -> aiohttp.ClientResponse:
        api = await self._connected()
        headers = {"Accept": "application/json, */*"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        total_s = None if stream else self._settings.request_timeout_s
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=CONNECT_S, sock_read=READ_S if stream else None
        )
        return await api.call_api(
            path, method, query_params=list((query or {}).items()), header_params=headers,
            body=body, auth_settings=["BearerToken"], _preload_content=False,
            _request_timeout=timeout,
        )  # fmt: skip

    async def _connected(self) -> ApiClient:
        async with self._connecting:
            if self._api is None:
                self._api = ApiClient(await self._configuration())
                self._api.user_agent = "tunegate"
            return self._api

    async def _configuration(self) -> Configuration:
        settings = self._settings
        found = Configuration()
        found.connection_pool_maxsize = 64
        try:
            if (
                settings.kubeconfig is None
                and settings.context is None
                and IN_CLUSTER in os.environ
            ):
                load_incluster_config(client_configuration=found)
            else:
                path, context = settings.kubeconfig, settings.context
                await load_kube_config(path, context, found, persist_config=False)
        except (ConfigException, OSError, ValueError) as error:
            raise EngineUnavailable(
                f"The cluster's configuration can't be read: {error}"
            ) from error
        return found


def _unreachable(error: Exception) -> EngineUnavailable:
    if isinstance(error, TimeoutError):
        return EngineUnavailable("The API server did not answer in time.")
    return EngineUnavailable(f"The API server can't be reached ({type(error).__name__}).")
