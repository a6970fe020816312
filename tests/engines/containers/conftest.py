"""Real engines: `make engine-containers` starts docker and podman and says so in the environment."""

import os
import uuid
from collections.abc import Callable

import pytest

from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext

IMAGE = "TUNEGATE_TEST_IMAGE"
SOCKETS = {"docker": "TUNEGATE_TEST_DOCKER", "podman": "TUNEGATE_TEST_PODMAN"}
NewLauncher = Callable[..., Callable[[], ContainerLauncher]]


@pytest.fixture(params=list(SOCKETS))
def socket(request: pytest.FixtureRequest) -> str:
    """An engine's."""
    if SOCKETS[request.param] not in os.environ or IMAGE not in os.environ:
        pytest.skip("no docker and podman were started for these tests: make engine-containers")
    return os.environ[SOCKETS[request.param]]


@pytest.fixture
def new_launcher(socket: str, tmp_path_factory: pytest.TempPathFactory) -> NewLauncher:
    """Settings to a function that gives a launcher, as after a restart."""

    def new(**more: object) -> Callable[[], ContainerLauncher]:
        state = str(tmp_path_factory.mktemp("state"))
        instance = f"c{uuid.uuid4().hex[:8]}"
        given = {"network": "host", "pull": "never", "instance": instance, **more}
        settings = ContainerSettings(socket=socket, **given)
        return lambda: ContainerLauncher(settings, LauncherContext(state_dir=state, clock=SystemClock()))  # fmt: skip

    return new
