"""A real gateway, with S3 beside it, at an address that an engine's runs reach."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from support.api import Api
from support.tcp_proxy import TcpProxy
from tunegate.sdk.testing.gateway_process import GatewayProcess
from tunegate.sdk.testing.s3_server import S3Server


@asynccontextmanager
async def gateway_at(
    host: str, home: Path, s3: S3Server, config: str, **variables: str
) -> AsyncGenerator[Api]:
    """A client of the gateway. Gateway and S3 listen on loopback; a proxy gives each to the runs at `host`.

    `variables` are the gateway's own, besides its `config`.
    """
    s3_port = urlsplit(s3.endpoint_url).port
    assert s3_port is not None
    async with TcpProxy(host=host) as door, TcpProxy(s3_port, host=host) as bucket:
        environment = {
            "TUNEGATE_SERVER__PUBLIC_URL": door.url,
            "TUNEGATE_STORAGE__S3_ENDPOINT_URL": bucket.url,
            "TUNEGATE_STORAGE__STS_ENDPOINT_URL": bucket.url,
            **variables,
        }
        gateway = GatewayProcess(home, s3, extra_config=config, environment=environment)
        port = urlsplit(gateway.url).port
        assert port is not None
        door.targets.append(port)
        async with gateway, Api(gateway.url, gateway.token) as client:
            yield client
