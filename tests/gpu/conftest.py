"""Tests that need a CUDA device; without one they are skipped, with one they hold its way of a step to the plain one."""

from pathlib import Path

import pytest
import torch

from support.trainer_bench import Bench, rows
from tunegate.trainer.tiny import make_tiny_model

HERE = Path(__file__).parent
RULES = ("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.gpu)
            item.add_marker(lacking)
            for rule in RULES:
                item.add_marker(pytest.mark.filterwarnings(rule))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=128, layers=2, vocab=400)
    return folder


@pytest.fixture
def bench(base: Path, tmp_path: Path) -> Bench:
    return Bench(base, tmp_path)
