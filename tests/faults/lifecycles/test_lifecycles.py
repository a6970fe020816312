"""The real control plane on a virtual clock, three replicas of it, and everything that goes wrong around them."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.lifecycles.plants import PLANTS
from faults.lifecycles.world import JOBS, World
from faults.report import rounds, write
from tunegate.control.sealer import Sealer

pytestmark = pytest.mark.slow
WORLDS = rounds(1, 500)
REPLAYED = rounds(1, 1000)


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    return Sealer(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Trouble is what happens here all the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_nothing_is_lost_doubled_or_left_behind(tmp_path: Path, sealer: Sealer) -> None:
    began_s, found, started = time.process_time(), list[str](), 0
    for seed in range(WORLDS):
        outcome = World(seed, tmp_path, sealer).run()
        found += [f"seed {seed}: {text}" for text in outcome.violations]
        started += outcome.started
    lifecycles = WORLDS * JOBS
    speed = lifecycles / (time.process_time() - began_s)
    caught = all(is_caught(tmp_path, sealer, said) for said in PLANTS)
    write(
        "lifecycles",
        lifecycles,
        found,
        planted_bug_caught=caught,
        lifecycles_per_cpu_s=round(speed, 1),
        runs_started=started,
        planted_bugs=len(PLANTS),
    )
    assert found == []
    assert caught


def is_caught(folder: Path, sealer: Sealer, said: str) -> bool:
    plant: Callable[[World], None] = PLANTS[said]
    seeds = range(6)  # a bug shows itself in one of a few worlds
    return any(
        said in text
        for seed in seeds
        for text in World(seed, folder, sealer, jobs=40, plant=plant).run().violations
    )


def test_the_same_seed_is_the_same_world(tmp_path: Path, sealer: Sealer) -> None:
    for seed in range(REPLAYED):
        first, second = (World(seed, tmp_path, sealer, jobs=10).run() for _ in range(2))
        assert first.trace == second.trace, f"seed {seed}"
