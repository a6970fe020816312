"""A control plane on a fresh store for each test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.front import Front, build_front
from tunegate.control.service import JobService


@pytest.fixture
async def front(tmp_path: Path) -> AsyncGenerator[Front]:
    front = await build_front(tmp_path)
    yield front
    await front.store.close()


@pytest.fixture
def service(front: Front) -> JobService:
    return JobService(front.context)
