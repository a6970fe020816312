import pytest

from tunegate.contract.container import ContainerSpec, ResourceRequest
from tunegate.launchers.local.fit import demand_of, review_container
from tunegate.launchers.local.machine import Machine

GB = 2**30
LAPTOP = Machine(gpu_ids=[], gpu_type=None, cpus=2, memory_bytes=8 * GB)
SERVER = Machine(
    gpu_ids=["0", "1"], gpu_type="NVIDIA A100-SXM4-80GB", cpus=64, memory_bytes=512 * GB
)
CANONICAL = ResourceRequest(gpus=4, gpu_type="A100", cpus=16, memory_bytes=128 * GB)


def container(resources: ResourceRequest, *, image_requested: bool = False) -> ContainerSpec:
    return ContainerSpec(
        image="i", command=["x"], resources=resources, image_requested=image_requested
    )


def test_a_laptop_refuses_what_it_has_not() -> None:
    problems, ignored = review_container(container(CANONICAL), LAPTOP, cpu_fallback=False)
    assert {problem.path: problem.message for problem in problems} == {
        "$.resources.gpus": "the job asks for 4 GPUs and this machine has no GPU",
        "$.resources.gpu_type": "this machine has no GPU",
        "$.resources.cpus": "the job asks for 16 CPUs and this machine has 2",
        "$.resources.memory_gb": "the job asks for 128 GB and this machine has 8",
    }
    assert {problem.code for problem in problems} == {"insufficient_resources"}
    assert ignored == []


def test_defaults_that_nobody_asked_for_are_cut_without_a_word() -> None:
    modest = ResourceRequest(gpus=0, defaulted=["cpus", "memory_gb"])
    assert review_container(container(modest), LAPTOP, cpu_fallback=False) == ([], [])
    taken = demand_of(modest, LAPTOP)
    assert (taken.cpus, taken.memory_bytes) == (2, 8 * GB)


def test_with_fallback_it_runs_on_what_there_is_and_says_so() -> None:
    problems, ignored = review_container(container(CANONICAL), LAPTOP, cpu_fallback=True)
    assert problems == []
    assert [entry.path for entry in ignored] == [
        "$.resources.gpus", "$.resources.gpu_type", "$.resources.cpus", "$.resources.memory_gb",
    ]  # fmt: skip
    taken = demand_of(CANONICAL, LAPTOP)
    assert (taken.gpus, taken.cpus, taken.memory_bytes) == (0, 2, 8 * GB)


@pytest.mark.parametrize("gpu_type", ["A100", "a100", "NVIDIA A100-SXM4-80GB", None])
def test_a_server_that_has_it_all(gpu_type: str | None) -> None:
    wanted = ResourceRequest(gpus=2, gpu_type=gpu_type, cpus=8, memory_bytes=GB)
    assert review_container(container(wanted), SERVER, cpu_fallback=False) == ([], [])


def test_another_type_of_gpu() -> None:
    wanted = ResourceRequest(gpus=1, gpu_type="H100", cpus=8, memory_bytes=GB)
    ((problem,), _) = review_container(container(wanted), SERVER, cpu_fallback=False)
    assert problem.path == "$.resources.gpu_type"
    assert "A100" in problem.message


def test_nodes_images_and_types_without_a_gpu() -> None:
    wanted = ResourceRequest(gpus=0, gpu_type="A100", cpus=1, memory_bytes=GB, nodes=2)
    spec = container(wanted, image_requested=True)
    problems, ignored = review_container(spec, SERVER, cpu_fallback=True)
    assert [(p.path, p.code) for p in problems] == [("$.resources.nodes", "not_supported")]
    assert [entry.path for entry in ignored] == [
        "$.resources.gpu_type", "$.extra_parameters.container_image",
    ]  # fmt: skip
