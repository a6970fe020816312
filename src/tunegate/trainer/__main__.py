"""`python -m tunegate.trainer job.json [--secrets secrets.json] [--work-dir DIR]`."""

import argparse
import os
import sys
from pathlib import Path

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.config import read_launch

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
}
"""For libraries that read them when they are imported."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tunegate.trainer")
    parser.add_argument("job", type=Path, help="job.json; with attempt.json beside it, a gateway's")
    parser.add_argument("--secrets", type=Path, help="credentials of a run without gateway")
    parser.add_argument("--work-dir", type=Path, help="scratch folder; default: work beside job")
    arguments = parser.parse_args()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        launch = read_launch(arguments.job, arguments.secrets, arguments.work_dir)
    except TunegateError as error:
        print(error, file=sys.stderr)
        return error.spec.exit_code or 1
    from tunegate.trainer.attempt import run_attempt

    return run_attempt(launch)


if __name__ == "__main__":
    sys.exit(main())
