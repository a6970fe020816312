"""A bench for specs alone: nothing is trained on it."""

from pathlib import Path

import pytest

from support.trainer_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "base", tmp_path)
