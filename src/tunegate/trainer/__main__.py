"""`python -m tunegate.trainer job.json [--secrets secrets.json] [--work-dir DIR]`."""

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.run_files import WORK
from tunegate.trainer.config import Launch, read_launch
from tunegate.trainer.dialling import Peer, guard, peer_of
from tunegate.trainer.distributed.place import Place, processes_to_start, read_place
from tunegate.trainer.distributed.sagemaker import with_nodes
from tunegate.trainer.distributed.spawn import run_processes

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "LRU_CACHE_CAPACITY": "64",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
    "WANDB_ERROR_REPORTING": "false",
}
"""For libraries that read them when they are imported. Threads that spin while they wait take the cores from their
neighbours: with other work on the machine, passive waiting was three times faster, and alone no slower. Products in
bf16 are compiled for each number of tokens, which differs from pass to pass: of the thousand that torch and oneDNN would
each keep, small models grew by 70 MB a step (measured: 1300 MB after twelve steps, with 64 kept 715, no slower). For the
same reason the memory of a GPU grows in one piece: passes of ever other sizes would leave holes between fixed ones.
The hub's faster way (Xet) dials from Rust, where `dialling` does not see it; an operator may switch it on again.
"""
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
EIGHT_BIT = frozenset({"adamw_8bit", "paged_adamw_8bit"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tunegate.trainer")
    parser.add_argument("job", type=Path, help="job.json; with attempt.json beside it, a gateway's")
    parser.add_argument("--secrets", type=Path, help="credentials of a run without gateway")
    parser.add_argument(
        "--work-dir",
        type=Path,
        help="scratch folder; default: $TUNEGATE_WORK_DIR, or work beside job",
    )
    arguments = parser.parse_args()
    quieten()
    try:
        os.environ.update(with_nodes(os.environ))
        count = processes_to_start(os.environ)
        if count > 1:
            return run_processes(count, sys.argv[1:], os.environ)
        place = read_place(os.environ)
        launch = read_launch(
            arguments.job, arguments.secrets, arguments.work_dir or _given_work_dir()
        )
    except TunegateError as error:
        print(error, file=sys.stderr)
        return error.spec.exit_code or 1
    _guard_dialling(launch, place)
    _spare_bitsandbytes(launch.spec)
    from tunegate.trainer.attempt import run_attempt

    return run_attempt(launch, place)


def _given_work_dir() -> Path | None:
    """Where the launcher mounted a disk, for files may lie where nothing can be written."""
    given = os.environ.get(WORK)
    return Path(given) if given else None


def quieten() -> None:
    """What libraries tell their own developers is of no use in a job's log."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)


def _guard_dialling(launch: Launch, place: Place) -> None:
    """Before anything is imported that might dial."""
    peers: list[Peer] = [(place.master_addr, None)] if place.world > 1 else []
    if launch.ticket is not None:
        peers.append(peer_of(launch.ticket.gateway_url))
    policy = launch.spec.storage
    if policy.proxy_url is not None:
        os.environ |= dict.fromkeys(PROXY_VARIABLES, policy.proxy_url)
    guard(policy, peers)


def _spare_bitsandbytes(spec: TrainingSpec) -> None:
    """PEFT imports it wherever it is installed, which takes over a second; most jobs have no use for it.

    A process trains one job, so it may be told that the package is not there.
    """
    if spec.quantization is None and spec.tuning.optimizer not in EIGHT_BIT:
        sys.modules["bitsandbytes"] = None  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    sys.exit(main())
