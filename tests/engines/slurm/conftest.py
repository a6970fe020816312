"""A real Slurm: `make engine-slurm` starts one and says so in the environment."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tunegate.launchers.slurm import SlurmLauncher
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext

RESTD = "TUNEGATE_SLURMRESTD"
NewLauncher = Callable[..., SlurmLauncher]


@pytest.fixture(scope="session")
def slurm_conf() -> str:
    conf = os.environ.get("SLURM_CONF", "")
    if RESTD not in os.environ or not Path(conf).exists():
        pytest.skip("no Slurm was started for these tests: make engine-slurm")
    return conf


def settings_for(api: str, conf: str, shared: Path, **more: object) -> SlurmSettings:
    rest = {"rest_url": os.environ[RESTD], "jwt_command": ["scontrol", "token", "lifespan=600"]}
    return SlurmSettings(
        api=api, slurm_conf=conf, shared_dir=str(shared), **(rest if api == "rest" else {}), **more
    )


@pytest.fixture(params=["commands", "rest"])
def new_launcher(request: pytest.FixtureRequest, slurm_conf: str, tmp_path: Path) -> NewLauncher:
    def new(**more: object) -> SlurmLauncher:
        settings = settings_for(request.param, slurm_conf, tmp_path / "shared", **more)
        return SlurmLauncher(settings, LauncherContext(state_dir="", clock=SystemClock()))

    return new
