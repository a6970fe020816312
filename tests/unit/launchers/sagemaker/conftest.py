"""A fake SageMaker over a real S3 server, and launchers over both."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.sagemaker import FakeSageMaker, LocalAccount
from tunegate.launchers.sagemaker import SageMakerLauncher
from tunegate.launchers.sagemaker.settings import InstanceType, SageMakerSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
from tunegate.sdk.testing.s3_server import S3Server

BUCKET = "operator"
INSTANCES = [
    InstanceType(type="ml.m5.large", cpus=2, memory_gb=8),
    InstanceType(type="ml.m5.xlarge", cpus=4, memory_gb=16),
    InstanceType(type="ml.g5.2xlarge", cpus=8, memory_gb=32, gpus=1, gpu_type="A10G 24GB"),
    InstanceType(type="ml.p4d.24xlarge", cpus=96, memory_gb=1152, gpus=8, gpu_type="A100 40GB"),
]


class EagerLauncher(SageMakerLauncher):
    """Waits less between two looks."""

    offer_again_s = 0.2
    look_s = 0.05


@pytest.fixture
async def sagemaker(tmp_path: Path, s3_server: S3Server) -> AsyncGenerator[FakeSageMaker]:
    s3_server.create_bucket(BUCKET)
    async with FakeSageMaker(LocalAccount(tmp_path / "sagemaker", s3_server)) as running:
        yield running


@pytest.fixture
def settings(
    sagemaker: FakeSageMaker, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> SageMakerSettings:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    return settings_for(sagemaker.url, s3_server)


def settings_for(url: str, s3: S3Server, **more: Any) -> SageMakerSettings:
    return SageMakerSettings(
        role_arn=s3.role_arn,
        s3_prefix=f"s3://{BUCKET}/gateway-{uuid4().hex[:8]}/",
        instances=INSTANCES,
        endpoint_url=url,
        logs_endpoint_url=url,
        s3_endpoint_url=s3.endpoint_url,
        s3_path_style=True,
        **more,
    )


def launcher_with(settings: SageMakerSettings, path: Path) -> EagerLauncher:
    return EagerLauncher(settings, LauncherContext(state_dir=str(path), clock=SystemClock()))
