"""`python -m tunegate.trainer job.json [--secrets secrets.json] [--work-dir DIR]`."""

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.config import read_launch

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}
"""For libraries that read them when they are imported. Threads that spin while they wait take the cores from their
neighbours: with other work on the machine, passive waiting was three times faster, and alone no slower."""
EIGHT_BIT = frozenset({"adamw_8bit", "paged_adamw_8bit"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tunegate.trainer")
    parser.add_argument("job", type=Path, help="job.json; with attempt.json beside it, a gateway's")
    parser.add_argument("--secrets", type=Path, help="credentials of a run without gateway")
    parser.add_argument("--work-dir", type=Path, help="scratch folder; default: work beside job")
    arguments = parser.parse_args()
    _quieten()
    try:
        launch = read_launch(arguments.job, arguments.secrets, arguments.work_dir)
    except TunegateError as error:
        print(error, file=sys.stderr)
        return error.spec.exit_code or 1
    _spare_bitsandbytes(launch.spec)
    from tunegate.trainer.attempt import run_attempt

    return run_attempt(launch)


def _quieten() -> None:
    """What libraries tell their own developers is of no use in a job's log."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)


def _spare_bitsandbytes(spec: TrainingSpec) -> None:
    """PEFT imports it wherever it is installed, which takes over a second; most jobs have no use for it.

    A process trains one job, so it may be told that the package is not there.
    """
    if spec.quantization is None and spec.tuning.optimizer not in EIGHT_BIT:
        sys.modules["bitsandbytes"] = None  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    sys.exit(main())
