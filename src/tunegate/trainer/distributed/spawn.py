"""Starts the processes of one machine and watches over them; torchrun's part, but with our exit codes and endings.

torchrun ends all at once when one fails, with exit code 1: the rank that talks to the gateway could not say any more why.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from tunegate.sdk.errors import CATALOGUE
from tunegate.trainer.distributed.place import LISTENER, environment_of, place_of_child

LOOK_S = 0.05
LAST_WORDS_S = 45.0
"""What the others get to say goodbye once one has failed."""
LEAVING_S = 10.0
"""The same once rank 0 has left: nothing is to be said then."""
STOPPED = frozenset(CATALOGUE[code].exit_code for code in ("interrupted", "superseded"))
PR_SET_PDEATHSIG = 1

Child = subprocess.Popen[bytes]


def run_processes(count: int, arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """`python -m tunegate.trainer ARGUMENTS`, `count` times; gives the exit code of the whole."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        children = [_start(rank, count, listener, arguments, env) for rank in range(count)]

        def forward(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
            for child in children:
                if child.poll() is None:
                    child.send_signal(signum)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, forward)
    try:
        return _watch(children)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(
    local_rank: int,
    count: int,
    listener: socket.socket,
    arguments: Sequence[str],
    env: Mapping[str, str],
) -> Child:
    place = place_of_child(env, local_rank, count, listener.getsockname()[1])
    own = {LISTENER: str(listener.fileno())} if place.world == count and place.is_main else {}
    threads = int(env.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", "tunegate.trainer", *arguments],
        env={
            **env,
            **environment_of(place),
            **own,
            "OMP_NUM_THREADS": str(max(1, threads // count)),
        },
        pass_fds=[listener.fileno()] if own else [],
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
    )


def _watch(children: Sequence[Child]) -> int:
    """Until the first of them, which reports for all, has ended; it gets little time once another has failed."""
    failed: tuple[int, int] | None = None
    give_up_at_s = float("inf")
    while True:
        codes = [child.poll() for child in children]
        if failed is None:
            failed = next(((r, c) for r, c in enumerate(codes) if c and c not in STOPPED), None)
            if failed is not None:
                give_up_at_s = time.monotonic() + LAST_WORDS_S
        if codes[0] is not None:
            _wait_for_all(children, time.monotonic() + LEAVING_S)
            return _verdict(failed if failed is not None and codes[0] < 0 else (0, codes[0]))
        if time.monotonic() > give_up_at_s and failed is not None:
            return _verdict(failed)
        time.sleep(LOOK_S)


def _wait_for_all(children: Sequence[Child], until_s: float) -> None:
    while time.monotonic() < until_s and any(child.poll() is None for child in children):
        time.sleep(LOOK_S)


def _verdict(ended: tuple[int, int]) -> int:
    """A process that a signal ended has no exit code of its own."""
    rank, code = ended
    if code >= 0:
        return code
    print(f"rank {rank} was killed by signal {-code}", file=sys.stderr, flush=True)
    return CATALOGUE["rank_lost"].exit_code or 1


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
