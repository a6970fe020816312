"""`Place`: which process of a job this one is, from what torchrun, Slurm, Open MPI or our spawner set. Pure."""

import re
from collections.abc import Mapping

from tunegate.contract.base import Wire
from tunegate.contract.training import PROCESSES
from tunegate.sdk.errors import TunegateError

LISTENER = "TUNEGATE_STORE_FD"
"""A listening socket that rank 0 inherits from the spawner, so that nobody can take its port meanwhile."""
USUAL_PORT = 29500
_FIRST = re.compile(r"(?P<stem>[^\[,]+)(?:\[(?P<number>\d+))?")


class Place(Wire):
    """Rank `rank` of `world`, the `local_rank`-th of `local_world` on node `node`. Rank 0 listens at the master's address."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    node: int = 0
    master_addr: str = "127.0.0.1"
    master_port: int = USUAL_PORT
    listener: int | None = None
    """A file descriptor that rank 0 listens with already."""
    served: bool = False
    """The launcher keeps the store (torchrun's agent does), so rank 0 need not."""
    life: str = "0"
    """Sets this start apart from earlier ones that used the same store."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def is_node_main(self) -> bool:
        """The one of its node that fetches."""
        return self.local_rank == 0


ALONE = Place()


def read_place(env: Mapping[str, str]) -> Place:
    """`ALONE` where nothing says otherwise. Raises TunegateError config_invalid for numbers that contradict each other."""
    if "RANK" in env and "WORLD_SIZE" in env:
        place = _torchrun(env)
    elif "SLURM_STEP_NUM_TASKS" in env and "SLURM_PROCID" in env:
        place = _slurm(env)
    elif "OMPI_COMM_WORLD_RANK" in env:
        place = _open_mpi(env)
    else:
        return ALONE
    sound = 0 <= place.rank < place.world and 0 <= place.local_rank < place.local_world
    if not sound or place.local_world > place.world:
        sentence = f"Rank {place.rank} of {place.world} (local {place.local_rank} of {place.local_world}) can't be."
        raise TunegateError("config_invalid", sentence)
    return place if place.world > 1 else ALONE


def processes_to_start(env: Mapping[str, str]) -> int:
    """How many processes the trainer should start on this machine; 1 where this is one of several already."""
    if "LOCAL_RANK" in env or PROCESSES not in env:
        return 1
    return max(1, _number(env, PROCESSES))


def place_of_child(env: Mapping[str, str], local_rank: int, count: int, port: int) -> Place:
    """The place of one of `count` processes that this one starts. Where RANK and WORLD_SIZE are set they are the node's."""
    node = _number(env, "RANK", _number(env, "NODE_RANK", 0))
    nodes = _number(env, "WORLD_SIZE", _number(env, "NNODES", 1))
    return Place(
        rank=node * count + local_rank,
        world=nodes * count,
        local_rank=local_rank,
        local_world=count,
        node=node,
        master_addr=env.get("MASTER_ADDR", "127.0.0.1") if nodes > 1 else "127.0.0.1",
        master_port=_number(env, "MASTER_PORT", USUAL_PORT) if nodes > 1 else port,
    )


def environment_of(place: Place) -> dict[str, str]:
    """What torchrun would set."""
    return {
        "RANK": str(place.rank), "WORLD_SIZE": str(place.world),
        "LOCAL_RANK": str(place.local_rank), "LOCAL_WORLD_SIZE": str(place.local_world),
        "GROUP_RANK": str(place.node),
        "MASTER_ADDR": place.master_addr, "MASTER_PORT": str(place.master_port),
    }  # fmt: skip


def _torchrun(env: Mapping[str, str]) -> Place:
    rank, world = _number(env, "RANK"), _number(env, "WORLD_SIZE")
    local_rank = _number(env, "LOCAL_RANK", 0)
    local_world = _number(env, "LOCAL_WORLD_SIZE", local_rank + 1)
    return Place(
        rank=rank,
        world=world,
        local_rank=local_rank,
        local_world=local_world,
        node=_number(env, "GROUP_RANK", rank // local_world),
        master_addr=env.get("MASTER_ADDR", "127.0.0.1"),
        master_port=_number(env, "MASTER_PORT", USUAL_PORT),
        listener=_number(env, LISTENER) if LISTENER in env else None,
        served=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        life=env.get("TORCHELASTIC_RESTART_COUNT", "0"),
    )


def _slurm(env: Mapping[str, str]) -> Place:
    """A task of `srun`. In a batch script itself there is no step, and the script is alone."""
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST", "127.0.0.1")
    rank, world = _number(env, "SLURM_PROCID"), _number(env, "SLURM_STEP_NUM_TASKS")
    local_rank = _number(env, "SLURM_LOCALID", 0)
    per_node = env.get("SLURM_STEP_TASKS_PER_NODE", str(local_rank + 1))
    node = _number(env, "SLURM_NODEID", 0)
    # Ports of jobs that share a node differ with the jobs' numbers.
    port = 20_000 + _number(env, "SLURM_JOB_ID", 0) % 20_000
    return Place(
        rank=rank,
        world=world,
        local_rank=local_rank,
        local_world=_tasks_of(per_node, node),
        node=node,
        master_addr=env.get("MASTER_ADDR") or first_host(nodes),
        master_port=_number(env, "MASTER_PORT", port),
        life=env.get("SLURM_RESTART_COUNT", "0"),
    )


def _open_mpi(env: Mapping[str, str]) -> Place:
    rank = _number(env, "OMPI_COMM_WORLD_RANK")
    local_world = _number(env, "OMPI_COMM_WORLD_LOCAL_SIZE", 1)
    return Place(
        rank=rank,
        world=_number(env, "OMPI_COMM_WORLD_SIZE"),
        local_rank=_number(env, "OMPI_COMM_WORLD_LOCAL_RANK", 0),
        local_world=local_world,
        node=rank // local_world,
        master_addr=env.get("MASTER_ADDR", "127.0.0.1"),
        master_port=_number(env, "MASTER_PORT", USUAL_PORT),
    )


def first_host(nodes: str) -> str:
    """The first of a Slurm list: `gpu[03-07,12],big1` gives `gpu03`."""
    match = _FIRST.match(nodes)
    return f"{match['stem']}{match['number'] or ''}" if match else nodes


def _tasks_of(per_node: str, node: int) -> int:
    """`2(x3),1` says: two tasks on each of three nodes, one on the fourth."""
    counts: list[int] = []
    for part in per_node.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise TunegateError("config_invalid", "SLURM_STEP_TASKS_PER_NODE can't be read.")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts[min(node, len(counts) - 1)]


def _number(env: Mapping[str, str], name: str, usual: int | None = None) -> int:
    text = env.get(name)
    if text is None and usual is not None:
        return usual
    try:
        return int(text or "")
    except ValueError as error:
        raise TunegateError("config_invalid", f"{name} is no whole number.") from error
