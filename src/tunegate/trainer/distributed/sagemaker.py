"""The nodes of a SageMaker training job, in the words of torchrun."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.place import USUAL_PORT

CONFIG_DIR = "SM_INPUT_CONFIG_DIR"
USUAL_CONFIG_DIR = "/opt/ml/input/config"
HOSTS_FILE = "resourceconfig.json"


def with_nodes(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the number of this node and the address of the first, where SageMaker's file of hosts names several.

    What is set already stays. Raises TunegateError config_invalid for a file that can't be read.
    """
    path = Path(env.get(CONFIG_DIR, USUAL_CONFIG_DIR)) / HOSTS_FILE
    if "RANK" in env or not path.exists():
        return dict(env)
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        # All nodes must see one order, whatever that of their own file.
        hosts: list[str] = sorted(config["hosts"], key=_number)
        rank = hosts.index(config["current_host"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TunegateError(
            "config_invalid", f"{HOSTS_FILE} of SageMaker can't be read."
        ) from error
    if len(hosts) == 1:
        return dict(env)
    found = {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(hosts)),
        "MASTER_ADDR": hosts[0],
        "MASTER_PORT": str(USUAL_PORT),
    }
    if interface := config.get("network_interface_name"):
        found |= {"NCCL_SOCKET_IFNAME": interface, "GLOO_SOCKET_IFNAME": interface}
    return {**found, **env}


def _number(host: str) -> tuple[int, str]:
    """`algo-10` comes behind `algo-9`."""
    digits = host.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, host)
