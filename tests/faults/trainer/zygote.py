"""A trainer that has imported everything and forks a fresh copy of itself per request, so that a kill costs no imports.

`python -m faults.trainer.zygote`: a JSON object per line asks for a run; `pid N` and, in the end, `status N` answer.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any


def import_everything() -> None:
    """All that a run would import, and no thread: what is forked must be whole."""
    warnings.simplefilter("ignore")
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    from faults.trainer import hooks  # noqa: F401
    from tunegate.trainer import attempt, run  # noqa: F401


def run(asked: dict[str, Any]) -> int:
    """In the child: what `python -m tunegate.trainer JOB` does once its arguments are read."""
    from faults.trainer.hooks import install
    from tunegate.trainer.attempt import run_attempt
    from tunegate.trainer.config import read_launch

    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    install(Path(asked["journal"]), asked["latency_s"], asked["refuse_every"], asked["plant"])
    return run_attempt(read_launch(Path(asked["job"]), None, None))


def main() -> None:
    import_everything()
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 70
            try:
                code = run(json.loads(line))
            finally:
                os._exit(code)
        print(f"pid {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"status {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
