"""Which process this is, by what each launcher sets."""

import pytest

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.place import (
    ALONE,
    environment_of,
    first_host,
    place_of_child,
    processes_to_start,
    read_place,
)

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
    "MASTER_ADDR": "gpu01", "MASTER_PORT": "2222",
    "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1", "SLURM_STEP_NODELIST": "gpu[03-05]", "SLURM_JOB_ID": "70001",
}  # fmt: skip
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}  # fmt: skip


def test_without_a_launcher_the_process_is_alone() -> None:
    assert read_place({"PATH": "/bin"}) is ALONE
    assert read_place({"RANK": "0", "WORLD_SIZE": "1"}) is ALONE


def test_torchrun() -> None:
    place = read_place(TORCHRUN)
    assert (place.rank, place.world, place.local_rank, place.local_world) == (5, 8, 1, 4)
    assert (place.node, place.master_addr, place.master_port) == (1, "gpu01", 2222)
    assert (place.served, place.life) == (True, "2")
    assert not place.is_main
    assert not place.is_node_main


def test_srun() -> None:
    place = read_place(SRUN)
    assert (place.rank, place.world, place.local_rank, place.local_world) == (3, 5, 1, 2)
    assert (place.node, place.master_addr) == (1, "gpu03")
    assert place.master_port == read_place(SRUN | {"SLURM_PROCID": "0"}).master_port
    assert place.master_port != read_place(SRUN | {"SLURM_JOB_ID": "70002"}).master_port


def test_a_batch_script_without_srun_waits_for_nobody() -> None:
    assert read_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}) is ALONE


def test_mpirun() -> None:
    place = read_place(MPIRUN)
    assert (place.rank, place.world, place.node) == (1, 2, 0)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-07,12],big1", "gpu03"), ("one", "one"), ("a1,a2", "a1"), ("n[7]", "n7")],
)
def test_the_first_of_a_list_of_nodes(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    "env",
    [
        TORCHRUN | {"RANK": "8"},
        TORCHRUN | {"LOCAL_RANK": "4"},
        TORCHRUN | {"WORLD_SIZE": "two"},
        TORCHRUN | {"WORLD_SIZE": "2", "RANK": "1"},
        SRUN | {"SLURM_STEP_TASKS_PER_NODE": "many"},
    ],
)
def test_numbers_that_can_not_be(env: dict[str, str]) -> None:
    with pytest.raises(TunegateError) as caught:
        read_place(env)
    assert caught.value.code == "config_invalid"


def test_who_starts_processes() -> None:
    assert processes_to_start({}) == 1
    assert processes_to_start({"TUNEGATE_PROCESSES": "4"}) == 4
    assert processes_to_start({"TUNEGATE_PROCESSES": "4", "LOCAL_RANK": "2"}) == 1
    with pytest.raises(TunegateError):
        processes_to_start({"TUNEGATE_PROCESSES": "all"})


@pytest.mark.parametrize("local_rank", [0, 1, 2])
def test_a_child_finds_its_place_again(local_rank: int) -> None:
    place = place_of_child({}, local_rank, 3, 4321)
    assert (place.rank, place.world, place.master_port) == (local_rank, 3, 4321)
    assert read_place(environment_of(place)) == place


def test_children_of_one_of_several_nodes() -> None:
    node = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "first", "MASTER_PORT": "999"}
    places = [place_of_child(node, local_rank, 4, 1) for local_rank in range(4)]
    assert [place.rank for place in places] == [4, 5, 6, 7]
    assert {place.world for place in places} == {8}
    assert {(place.master_addr, place.master_port, place.node) for place in places} == {
        ("first", 999, 1)
    }
