"""Clients of S3, STS and other services of AWS: whose credentials, which endpoint, and every dial through the egress guard."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from ssl import SSLContext, create_default_context
from typing import Any

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials, AioDeferredRefreshableCredentials
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import HTTPClientError
from botocore.httpsession import get_cert_path
from botocore.loaders import Loader, create_loader

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.egress import EgressPolicy, EgressRefused, guarded_socket_factory
from tunegate.sdk.storage import AccessDenied
from tunegate.storage.policy import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, egress_policy
from tunegate.storage.transfer import PARALLEL, TRIES

ROLE_SESSION_NAME = "tunegate"
_NOTHING_AMBIENT: dict[str, tuple[None, None, Any, None]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Client = Any  # botocore makes its clients at run time, so there is no type to name
Credentials = AioCredentials | AioDeferredRefreshableCredentials


def s3_client(policy: StoragePolicy, auth: Auth | None) -> AbstractAsyncContextManager[Client]:
    """An S3 client for one set of credentials. Raises AccessDenied when there are none that may be used."""
    return _client("s3", policy.s3_endpoint_url, _session(policy, auth or Auth()), policy, auth)


def service_client(
    service: str, policy: StoragePolicy, endpoint_url: str | None
) -> AbstractAsyncContextManager[Client]:
    """A client of another AWS service (kms, sagemaker, logs) with this machine's own identity."""
    return _client(service, endpoint_url, _session(policy, Auth()), policy, None)


def _session(policy: StoragePolicy, auth: Auth) -> AioSession:
    base = _static(auth)
    if base is None and not policy.allow_ambient_credentials:
        raise AccessDenied(
            "the role can't be assumed: the job brings no AWS keys to assume it with, "
            "and the operator does not lend this machine's (storage.allow_ambient_credentials)"
            if auth.role_arn
            else "the job brings no AWS credentials, "
            "and the operator does not lend this machine's (storage.allow_ambient_credentials)"
        )
    if auth.role_arn is None:
        return _session_with(policy, base)
    assume = _assume_role(_session_with(policy, base), policy, auth)
    return _session_with(
        policy, AioDeferredRefreshableCredentials(refresh_using=assume, method="sts-assume-role")
    )


def _session_with(policy: StoragePolicy, credentials: Credentials | None) -> AioSession:
    """A session that holds these credentials, or searches this machine for some when given None."""
    if policy.allow_ambient_credentials:
        session = AioSession()
    else:
        # No configuration file of this machine either: it could name other endpoints and processes to run.
        session = AioSession(session_vars=_NOTHING_AMBIENT)
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    if credentials is not None:
        session.register_component("credential_provider", _Fixed(credentials))
    return session


@cache
def _models(data_path: str | None) -> Loader:
    """The SDK's descriptions of services, read once for all clients."""
    return create_loader(data_path)


class _Fixed:
    """In the place of the SDK's search through environment, files and metadata services."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> Credentials:
        return self._credentials


def _static(auth: Auth) -> AioCredentials | None:
    access, secret = auth.aws_access_key_id, auth.aws_secret_access_key
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise AccessDenied(
            "the credentials are incomplete: aws_access_key_id and aws_secret_access_key go together"
        )
    token = auth.aws_session_token
    return AioCredentials(access.reveal(), secret.reveal(), token.reveal() if token else None)


def _assume_role(
    base: AioSession, policy: StoragePolicy, auth: Auth
) -> Callable[[], Awaitable[dict[str, str]]]:
    """What botocore calls whenever the role's credentials are missing or about to end."""

    async def assume() -> dict[str, str]:
        request = {"RoleArn": auth.role_arn, "RoleSessionName": ROLE_SESSION_NAME}
        if auth.external_id is not None:
            request["ExternalId"] = auth.external_id.reveal()
        async with _client("sts", policy.sts_endpoint_url, base, policy, auth) as sts:
            got = (await sts.assume_role(**request))["Credentials"]
        return {
            "access_key": got["AccessKeyId"],
            "secret_key": got["SecretAccessKey"],
            "token": got["SessionToken"],
            "expiry_time": got["Expiration"].isoformat(),
        }

    return assume


def _client(
    service: str,
    endpoint_url: str | None,
    session: AioSession,
    policy: StoragePolicy,
    auth: Auth | None,
) -> AbstractAsyncContextManager[Client]:
    region = (auth.aws_region if auth else None) or policy.s3_region
    guarded: Any = partial(_GuardedSession, egress_policy(policy))
    config = AioConfig(
        http_session_cls=guarded,
        # An empty table where there is none, as None would mean the proxies of the environment.
        proxies={scheme: policy.proxy_url for scheme in ("http", "https") if policy.proxy_url},
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path" if policy.s3_path_style else "auto"},
        retries={"mode": "standard", "total_max_attempts": TRIES},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=4 * PARALLEL,
        ignore_configured_endpoint_urls=not policy.allow_ambient_credentials,
    )
    clients: Any = aioboto3.Session(botocore_session=session)
    return clients.client(service, region_name=region, endpoint_url=endpoint_url, config=config)


class _GuardedSession(AIOHTTPSession):
    """aiobotocore's HTTP session with the guard in its connector, and without redirects."""

    def __init__(self, policy: EgressPolicy, **options: Any) -> None:
        options["connector_args"] = {
            **(options.get("connector_args") or {}),
            "socket_factory": guarded_socket_factory(policy),
            "happy_eyeballs_delay": None,
        }
        super().__init__(**options)

    async def send(self, request: Any) -> Any:
        try:
            return await super().send(request)
        except HTTPClientError as error:
            # It wraps whatever it does not know; a refusal, or an address that is none, would be tried again for nothing.
            final = error.kwargs.get("error")
            if isinstance(final, (EgressRefused, ValueError)):
                raise final from None
            raise

    def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:  # noqa: ARG002
        options: Any = self._connector_args
        trusted = _trusting(get_cert_path(self._verify))
        return aiohttp.TCPConnector(limit=self._max_pool_connections, ssl=trusted, **options)

    async def _get_session(self, proxy_url: str | None) -> Any:
        return _NoRedirects(await super()._get_session(proxy_url))


@cache
def _trusting(certificates: str | None) -> SSLContext:
    """TLS that believes these certificates, for the names that they are for.

    aiobotocore's own context is botocore's, which leaves names to urllib3; aiohttp does not ask for them, so that any
    certificate of anybody would do. Read once: to read it anew for every client takes most of a client's time.
    """
    return create_default_context(cafile=certificates)


class _NoRedirects:
    """aiohttp would follow a redirect with the session token and the bytes, even to http://, and botocore without end."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **options: Any) -> aiohttp.ClientResponse:
        answer = await self._session.request(method, allow_redirects=False, **options)
        # Amazon names the region of a bucket that is elsewhere, and botocore then asks that region's own address.
        if answer.status in _REDIRECTS and "x-amz-bucket-region" not in answer.headers:
            answer.close()
            raise EgressRefused("The store answered with a redirect, which is not followed.")
        return answer
