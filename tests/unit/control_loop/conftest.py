from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.control_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.sqlite.open()
    yield world
    await world.sqlite.close()
