"""A gateway that has imported everything and forks a copy of itself per life, so that a kill costs no imports.

`python -m faults.gateway_kills.zygote`: a JSON object per line asks for a life; `pid N` and, in the end, `status N` answer.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def import_everything() -> None:
    """All that a gateway imports, and no thread: what is forked must be whole."""
    warnings.simplefilter("ignore")
    for name in ("psycopg_pool", "uvloop", "faults.gateway_kills.points"):
        importlib.import_module(name)
    from tunegate.gateway import Gateway
    from tunegate.settings import load

    with tempfile.TemporaryDirectory() as folder:  # one that never serves: some import only then
        variables = {"TRAINER_API_TOKEN": "none", "TUNEGATE_STATE_DIR": folder}
        Gateway(*load(None, variables, {}))


def die_with_parent() -> None:
    """A campaign that is killed leaves neither zygote nor gateway behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def live(asked: dict[str, Any]) -> int:
    """In the child: `tunegate serve`, with a moment to die at."""
    from faults.gateway_kills.plants import PLANTS
    from faults.gateway_kills.points import Points, install
    from tunegate.cli import main

    die_with_parent()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(asked["environment"])
    install(Points(asked["kind"], asked["number"], Path(asked["record"])))
    if asked["plant"] is not None:
        PLANTS[asked["plant"]].install()
    return main(["serve", "--config", asked["config"]])


def main() -> None:
    die_with_parent()
    import_everything()
    gc.collect()
    gc.freeze()  # a child that collects copies no page of what was imported
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 70
            try:
                code = live(json.loads(line))
            finally:
                os._exit(code)
        print(f"pid {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"status {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
