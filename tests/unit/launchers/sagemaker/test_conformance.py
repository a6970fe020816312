"""The suite of all launchers, with runs that are real processes behind SageMaker's API."""

from pathlib import Path
from typing import ClassVar

import pytest
from tests.unit.launchers.sagemaker.conftest import launcher_with

from support.sagemaker import FakeSageMaker
from tunegate.contract.container import ResourceRequest
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

pytestmark = pytest.mark.s3


class TestSageMaker(LauncherConformance):
    small: ClassVar[ResourceRequest] = ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20)
    whole: ClassVar[ResourceRequest] = ResourceRequest(gpus=0, cpus=4, memory_bytes=2**20)

    @pytest.fixture
    def make_launcher(
        self, settings: SageMakerSettings, sagemaker: FakeSageMaker, tmp_path: Path
    ) -> MakeLauncher:
        sagemaker.limits = {"ml.m5.xlarge": 1}
        return lambda: launcher_with(settings, tmp_path)
