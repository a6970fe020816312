"""The real control plane on a virtual clock, three replicas of it, and everything that goes wrong around them."""

import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.lifecycles.plants import PLANTS
from faults.lifecycles.world import JOBS, World
from faults.report import rounds, write
from faults.workers import workers
from tunegate.control.sealer import Sealer

pytestmark = pytest.mark.slow
WORLDS = rounds(1, 500)
REPLAYED = rounds(1, 1000)


class Lived(NamedTuple):
    """What became of one world."""

    violations: list[str]
    started: int
    cpu_s: float


@pytest.fixture
def processes() -> Generator[Executor]:
    with workers(WORLDS) as pool:
        yield pool


def test_nothing_is_lost_doubled_or_left_behind(tmp_path: Path, processes: Executor) -> None:
    worlds = list(processes.map(partial(live, tmp_path), range(WORLDS)))
    found = [text for lived in worlds for text in lived.violations]
    caught = list(processes.map(partial(is_caught, tmp_path), PLANTS))
    write(
        "lifecycles",
        WORLDS * JOBS,
        found,
        planted_bug_caught=all(caught),
        lifecycles_per_cpu_s=round(WORLDS * JOBS / sum(lived.cpu_s for lived in worlds), 1),
        runs_started=sum(lived.started for lived in worlds),
        planted_bugs=len(PLANTS),
    )
    assert found == []
    assert all(caught), dict(zip(PLANTS, caught, strict=True))


def test_the_same_seed_is_the_same_world(tmp_path: Path, processes: Executor) -> None:
    differ = list(processes.map(partial(differs, tmp_path), range(REPLAYED)))
    assert [seed for seed, other in enumerate(differ) if other] == []


def live(folder: Path, seed: int) -> Lived:
    began_s = time.process_time()
    outcome = World(seed, folder, _sealer(folder)).run()
    found = [f"seed {seed}: {text}" for text in outcome.violations]
    return Lived(found, outcome.started, time.process_time() - began_s)


def is_caught(folder: Path, said: str) -> bool:
    plant: Callable[[World], None] = PLANTS[said]
    sealer = _sealer(folder)
    seeds = range(6)  # a bug shows itself in one of a few worlds
    return any(
        said in text
        for seed in seeds
        for text in World(seed, folder, sealer, jobs=40, plant=plant).run().violations
    )


def differs(folder: Path, seed: int) -> bool:
    sealer = _sealer(folder)
    first, second = (World(seed, folder, sealer, jobs=10).run() for _ in range(2))
    return first.trace != second.trace


def _sealer(folder: Path) -> Sealer:
    return Sealer(folder / f"key-{os.getpid()}")
