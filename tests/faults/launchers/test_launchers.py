"""Every launcher among bad actors: accept then time out, slow creates, old lists, names that linger, storms of 5xx."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.launchers.engine import Engine
from faults.launchers.engines.cluster import KubeflowEngine, KubernetesEngine
from faults.launchers.engines.docker import DockerEngine
from faults.launchers.engines.local import LocalEngine
from faults.launchers.engines.ray import RayEngine
from faults.launchers.engines.sagemaker import SageMakerEngine
from faults.launchers.engines.slurm import SlurmEngine
from faults.launchers.world import World
from faults.report import rounds, write
from tunegate.control.sealer import Sealer

pytestmark = pytest.mark.slow
ENGINES: tuple[type[Engine], ...] = (
    KubeflowEngine, KubernetesEngine, DockerEngine, LocalEngine, RayEngine, SageMakerEngine, SlurmEngine,
)  # fmt: skip
JOBS = rounds(25, 100)
WORLDS = rounds(1, 25)
PLANT_SEEDS = 16
"""A bug shows itself in one of a few worlds: the shyest, of SageMaker whose client tries again itself, in every second."""
PLANT_JOBS = 25


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    return Sealer(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Trouble is what happens here all the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kind", ENGINES, ids=lambda kind: kind.name)
def test_no_run_is_doubled_given_up_or_left(kind: type[Engine], tmp_path: Path, sealer: Sealer) -> None:  # fmt: skip
    began_s, found, launches, strikes, harms = time.process_time(), list[str](), 0, 0, 0
    for seed in range(WORLDS):
        outcome = World(seed, tmp_path, sealer, kind(), JOBS).run()
        found += [f"seed {seed}: {text}" for text in outcome.violations]
        launches += outcome.launches
        strikes += outcome.strikes
        harms += outcome.harms
    caught = [said for said in kind.PLANTS if is_caught(kind, tmp_path, sealer, said)]
    write(
        f"launchers-{kind.name}",
        launches,
        found,
        planted_bug_caught=len(caught) == len(kind.PLANTS),
        calls_that_failed=strikes,
        nodes_lost=harms,
        cpu_s=round(time.process_time() - began_s, 1),
        planted_bugs=len(kind.PLANTS),
    )
    assert found == []
    assert caught == list(kind.PLANTS)


def is_caught(kind: type[Engine], folder: Path, sealer: Sealer, said: str) -> bool:
    return any(
        said in text
        for seed in range(1000, 1000 + PLANT_SEEDS)
        for text in World(seed, folder, sealer, kind(), PLANT_JOBS, plant=said).run().violations
    )
