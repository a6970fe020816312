from tunegate.launchers.local.fit import Demand
from tunegate.launchers.local.machine import Machine
from tunegate.launchers.local.queue import Grant, plan, sentence

GB = 2**30
MACHINE = Machine(gpu_ids=["0", "1"], gpu_type=None, cpus=8, memory_bytes=64 * GB)


def demand(gpus: int = 0, cpus: int = 1, gb: int = 1) -> Demand:
    return Demand(gpus=gpus, cpus=cpus, memory_bytes=gb * GB)


def test_runs_that_fit_start_with_gpus_of_their_own() -> None:
    decided = plan([("a", demand(gpus=1)), ("b", demand(gpus=1))], [], MACHINE)
    assert {name: grant.gpu_ids for name, grant in decided.starts.items()} == {
        "a": ["0"],
        "b": ["1"],
    }
    assert decided.lack == ""


def test_what_is_held_is_not_given_twice() -> None:
    held = [Grant(gpu_ids=["0"], cpus=4, memory_bytes=60 * GB)]
    decided = plan([("a", demand(gpus=1, gb=4)), ("b", demand(gpus=1))], held, MACHINE)
    assert decided.starts["a"].gpu_ids == ["1"]
    assert decided.lack == "1 GPU and 1 GB of memory"


def test_nobody_overtakes() -> None:
    held = [Grant(gpu_ids=["0"], cpus=1, memory_bytes=GB)]
    waiting = [("big", demand(gpus=2, cpus=8)), ("small", demand()), ("last", demand(gpus=2))]
    decided = plan(waiting, held, MACHINE)
    assert decided.starts == {}
    assert decided.lack == "1 GPU and 1 CPU"
    assert [sentence(decided.lack, ahead) for ahead in range(3)] == [
        "waits for 1 GPU and 1 CPU",
        "waits for its turn; 1 ahead",
        "waits for its turn; 2 ahead",
    ]


def test_an_empty_machine_takes_the_largest_run() -> None:
    assert plan([("a", demand(2, 8, 64))], [], MACHINE).starts["a"].gpu_ids == ["0", "1"]
