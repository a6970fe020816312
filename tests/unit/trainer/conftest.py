"""A tiny model, and what libraries may warn of."""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from support.trainer_bench import Bench, rows
from tunegate.trainer.tiny import make_tiny_model

HERE = Path(__file__).parent
LIBRARY_WARNINGS = (
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
    "ignore:Converting a tensor with requires_grad:UserWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What libraries warn their own developers of is not our error."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for rule in LIBRARY_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(rule))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama, 2 blocks, hidden 64, vocabulary of a few hundred."""
    folder = tmp_path_factory.mktemp("base")
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    make_tiny_model(folder, corpus=corpus, hidden=64, layers=2, vocab=400)
    return folder


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Generator[None]:
    """A run in this process takes over SIGTERM and SIGINT."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def bench(base: Path, tmp_path: Path) -> Bench:
    return Bench(base, tmp_path)
