"""What is not in the common suite: images, names that are taken, requests that lock a container up."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from support.docker.server import Container, DockerApi
from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.launchers.container import ContainerLauncher
from tunegate.launchers.container.names import GRANT
from tunegate.launchers.container.render import create_request, with_grant
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.launchers.container.sockets import find_socket
from tunegate.launchers.local.fit import Demand
from tunegate.launchers.local.queue import Grant
from tunegate.sdk.launcher import LaunchRefused, Run, RunState, RunStatus

Make = Callable[..., ContainerLauncher]
DEMAND = Demand(gpus=2, cpus=4, memory_bytes=2**30)


def a_run(name: str = "tg-a-1", image: str = "python:3", attempt_id: str = "uid-1") -> Run:
    container = ContainerSpec(
        image=image,
        command=["python", "-c", "print('hi')"],
        env={"A": "{files}/x"},
        resources=ResourceRequest(gpus=0, cpus=1, memory_bytes=2**20),
        files=[ContainerFile(path="job.json", content="{}")],
    )
    return Run(
        name=name, job_id="job", attempt=1, attempt_id=attempt_id, container=container,
        gateway_url="http://gw:8080", claim_token=Secret("canary"),
    )  # fmt: skip


async def settled(launcher: ContainerLauncher, name: str = "tg-a-1") -> RunStatus:
    while True:
        status = (await launcher.poll([name]))[name]
        if status.state not in (RunState.PENDING, RunState.STARTING, RunState.RUNNING):
            return status


async def test_an_image_that_is_missing_is_fetched(docker: DockerApi, make_container: Make) -> None:
    arrived = asyncio.Event()

    async def slow(_method: str, path: str) -> None:
        if path.endswith("/images/create"):
            await arrived.wait()

    docker.trouble = slow
    launcher = make_container()
    await launcher.submit(a_run(image="ghcr.io/team/trainer:2"))
    first = (await launcher.poll(["tg-a-1"]))["tg-a-1"]
    assert first.state is RunState.PENDING
    assert first.reason == "the image ghcr.io/team/trainer:2 is being pulled"
    arrived.set()
    assert (await settled(launcher)).state is RunState.SUCCEEDED
    assert "ghcr.io/team/trainer:2" in docker.images


async def test_one_that_nobody_has_fails_the_run_in_words(make_container: Make) -> None:
    launcher = make_container()
    await launcher.submit(a_run(image="ghcr.io/team/missing:2"))
    status = await settled(launcher)
    assert (status.state, status.failure) == (RunState.FAILED, "launch_failed")
    assert "manifest for ghcr.io/team/missing:2 not found" in status.reason


async def test_images_are_not_fetched_where_the_operator_forbids_it(make_container: Make) -> None:
    launcher = make_container(pull="never")
    await launcher.submit(a_run(image="ghcr.io/team/trainer:2"))
    status = await settled(launcher)
    assert (status.state, status.failure) == (RunState.FAILED, "launch_failed")
    assert "launchers.container.pull is never" in status.reason


async def test_a_name_that_is_somebody_elses(docker: DockerApi, make_container: Make) -> None:
    docker.all["tg-a-1"] = Container("tg-a-1", {"Labels": {}})
    launcher = make_container()
    with pytest.raises(LaunchRefused, match="somebody else's"):
        await launcher.submit(a_run())
    await launcher.cleanup("tg-a-1")
    assert "tg-a-1" in docker.all, "it is not ours to remove"


async def test_another_run_of_the_same_name_is_refused(make_container: Make) -> None:
    launcher = make_container()
    await launcher.submit(a_run())
    with pytest.raises(LaunchRefused, match="another run"):
        await launcher.submit(a_run(attempt_id="uid-2"))


async def test_a_command_that_is_not_in_the_image(make_container: Make) -> None:
    run = a_run()
    container = msgspec.structs.replace(run.container, command=["nope"])
    launcher = make_container()
    await launcher.submit(msgspec.structs.replace(run, container=container))
    status = await settled(launcher)
    assert (status.state, status.failure) == (RunState.FAILED, "launch_failed")
    assert "executable file not found" in status.reason


async def test_the_secret_leaves_the_gateways_disk_with_the_start(
    docker: DockerApi, make_container: Make, tmp_path: Path
) -> None:
    launcher = make_container()
    await launcher.submit(a_run())
    assert docker.all["tg-a-1"].files["files/claim-token"] == b"canary"
    await settled(launcher)
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes(), file


def test_a_container_may_do_nothing_but_train() -> None:
    asked = create_request(a_run(), DEMAND, ContainerSettings())
    host = asked["HostConfig"]
    assert asked["User"] == "10001:10001"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["RestartPolicy"] == {"Name": "no"}
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (2**30, 2**30, 4 * 10**9)
    assert host["NetworkMode"] == "tunegate"
    assert not host.keys() & {"Privileged", "CapAdd", "Devices", "PidMode", "IpcMode", "Binds"}
    assert "A=/tunegate/files/x" in asked["Env"]
    assert "canary" not in json.dumps(asked)


@pytest.mark.parametrize(
    ("access", "device"),
    [
        ("cdi", {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0", "nvidia.com/gpu=3"]}),
        ("nvidia", {"Driver": "nvidia", "DeviceIDs": ["0", "3"], "Capabilities": [["gpu"]]}),
    ],
)
def test_the_gpus_of_its_grant(access: str, device: dict[str, object]) -> None:
    settings = msgspec.convert({"gpu_access": access}, ContainerSettings)
    grant = Grant(gpu_ids=["0", "3"], cpus=4, memory_bytes=1)
    asked = with_grant(create_request(a_run(), DEMAND, settings), grant, settings)
    assert asked["HostConfig"]["DeviceRequests"] == [device]
    assert msgspec.json.decode(asked["Labels"][GRANT], type=Grant) == grant
    assert ("NVIDIA_VISIBLE_DEVICES=void" in asked["Env"]) == (access == "cdi")


def test_where_the_engine_listens(tmp_path: Path) -> None:
    assert find_socket("unix:///x", {}, tmp_path) == "/x"
    assert find_socket(None, {"DOCKER_HOST": "unix:///y"}, tmp_path) == "/y"
    assert find_socket(None, {"CONTAINER_HOST": "unix:///z"}, tmp_path) == "/z"
    with pytest.raises(ValueError, match=r"launchers\.container\.socket"):
        find_socket(None, {"DOCKER_HOST": "tcp://1.2.3.4:2375"}, tmp_path)
