"""A real Ray: `make engine-ray` starts one and says so in the environment."""

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunegate.launchers.ray import RayLauncher
from tunegate.launchers.ray.settings import RaySettings
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext

ADDRESS, FOLDER = "TUNEGATE_RAY", "TUNEGATE_RAY_DIR"
NewLauncher = Callable[..., RayLauncher]


@pytest.fixture(scope="session")
def cluster() -> dict[str, Any]:
    """The settings that lead to it; its runs have this environment's interpreter."""
    if ADDRESS not in os.environ:
        pytest.skip("no Ray was started for these tests: make engine-ray")
    token = Path(os.environ[FOLDER]) / "token"
    return {"address": os.environ[ADDRESS], "token_file": str(token), "python": sys.executable}


@pytest.fixture
def new_launcher(cluster: dict[str, Any]) -> NewLauncher:
    instance = f"c{uuid.uuid4().hex[:8]}"

    def new(**more: object) -> RayLauncher:
        settings = RaySettings(**{**cluster, "instance": instance, **more})
        return RayLauncher(settings, LauncherContext(state_dir="", clock=SystemClock()))

    return new
