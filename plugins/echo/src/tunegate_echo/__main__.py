"""`python -m tunegate_echo job.json`: speaks the attempt protocol as a trainer does, with the standard library only."""

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from tunegate_echo.gateway import Gateway, Superseded, Unreachable
from tunegate_echo.result import publish

INTERRUPTED, SUPERSEDED, UNREACHABLE = 77, 78, 79


class Interrupted(Exception):
    """SIGTERM, or the gateway's wish to stop."""


def train(plan: dict[str, Any], gateway: Gateway) -> int:
    """Claim, pretend to train, publish; returns the exit code."""
    options = plan["options"]
    gateway.claim()
    gateway.say("phase", phase="preparing", detail="Reading nothing")
    gateway.say("phase", phase="training", detail="Training nothing")
    for step in range(1, options["steps"] + 1):
        time.sleep(options["seconds_per_step"])
        report(gateway, step, options["steps"])
        print(f"step {step} of {options['steps']}", flush=True)
        if gateway.stop is not None:
            raise Interrupted
    if options["fail_code"] is not None:
        gateway.say("failed", code=options["fail_code"], detail="Failing, as the options ask")
        return options["exit_code"] or 1
    if options["exit_code"]:
        return options["exit_code"]
    gateway.say("phase", phase="uploading", detail="Writing the result")
    uri, digest = publish(plan["output_uri"], plan["job_id"], gateway.attempt, gateway.fence)
    gateway.say("succeeded", manifest_uri=uri, manifest_sha256=digest, detail="Echoed")
    return 0


def report(gateway: Gateway, step: int, steps: int) -> None:
    """Progress and a loss that falls."""
    done = {"step": step, "total_steps": steps, "epoch": step / steps}
    gateway.say("progress", **done, tokens=step * 100, tokens_per_s=100.0)
    gateway.say("metrics", step=step, values={"loss": 1.0 / step})


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def main(job: Path) -> int:
    signal.signal(signal.SIGTERM, interrupt)
    gateway = Gateway.of(job.with_name("attempt.json"))
    try:
        return train(json.loads(job.read_text()), gateway)
    except Interrupted:
        gateway.say("stopped", detail="Stopped, as asked")
        return INTERRUPTED
    except Superseded:
        return SUPERSEDED
    except Unreachable:
        return UNREACHABLE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
