"""Containers of docker and podman, held to what every launcher must do."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher

from .conftest import IMAGE, NewLauncher

pytestmark = pytest.mark.engine
MEMORY = 64 * 2**20


class TestContainer(LauncherConformance):
    deadline_s = 60.0
    small = ResourceRequest(gpus=0, cpus=1, memory_bytes=MEMORY)
    whole = ResourceRequest(gpus=0, cpus=4, memory_bytes=MEMORY, defaulted=["cpus"])

    @pytest.fixture
    def tmp_path(self) -> Iterator[Path]:
        """Containers see it at the same place, and may write to it."""
        folder = Path("/tmp") / f"tunegate-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        folder.chmod(0o777)
        yield folder
        shutil.rmtree(folder)

    @pytest.fixture
    def make_launcher(self, new_launcher: NewLauncher, tmp_path: Path) -> MakeLauncher:
        return new_launcher(mounts=[f"{tmp_path}:{tmp_path}"])

    def container(self, program: str, resources: ResourceRequest) -> ContainerSpec:
        spec = super().container(program, resources)
        return msgspec.structs.replace(spec, image=os.environ[IMAGE])
