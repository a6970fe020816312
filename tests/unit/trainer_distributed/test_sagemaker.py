"""The nodes of a SageMaker training job."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.place import place_of_child
from tunegate.trainer.distributed.sagemaker import with_nodes

HOSTS = [f"algo-{n}" for n in (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]


def env_of(path: Path, config: Any) -> dict[str, str]:
    (path / "resourceconfig.json").write_text(json.dumps(config))
    return {"SM_INPUT_CONFIG_DIR": str(path), "PATH": "/bin"}


def test_several_hosts_are_ranked_by_their_number(tmp_path: Path) -> None:
    config = {"current_host": "algo-10", "hosts": HOSTS, "network_interface_name": "eth0"}
    env = with_nodes(env_of(tmp_path, config))
    assert (env["RANK"], env["WORLD_SIZE"], env["MASTER_ADDR"]) == ("9", "10", "algo-1")
    assert env["NCCL_SOCKET_IFNAME"] == "eth0"
    assert env["PATH"] == "/bin"
    place = place_of_child(env, local_rank=3, count=8, port=1)
    assert (place.rank, place.world, place.node) == (75, 80, 9)


def test_one_host_is_alone(tmp_path: Path) -> None:
    given = env_of(tmp_path, {"current_host": "algo-1", "hosts": ["algo-1"]})
    assert with_nodes(given) == given


def test_nothing_there_and_what_is_set_already(tmp_path: Path) -> None:
    assert with_nodes({"SM_INPUT_CONFIG_DIR": str(tmp_path)}) == {
        "SM_INPUT_CONFIG_DIR": str(tmp_path)
    }
    given = env_of(tmp_path, {"current_host": "algo-1", "hosts": HOSTS}) | {
        "RANK": "4",
        "WORLD_SIZE": "5",
    }
    assert with_nodes(given) == given


@pytest.mark.parametrize("config", [{}, [], {"hosts": ["algo-1"], "current_host": "algo-2"}])
def test_a_file_that_can_not_be(tmp_path: Path, config: Any) -> None:
    with pytest.raises(TunegateError) as caught:
        with_nodes(env_of(tmp_path, config))
    assert caught.value.code == "config_invalid"
