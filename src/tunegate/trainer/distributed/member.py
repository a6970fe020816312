"""The attempt of a rank other than the first: it computes, and says nothing but to rank 0."""

import os
import sys
import traceback

from tunegate.contract.attempt import ClaimGrant, TrainerEvent
from tunegate.contract.training import TrainerSecrets
from tunegate.sdk.clock import Clock
from tunegate.sdk.errors import CATALOGUE, TunegateError
from tunegate.trainer.background import Background
from tunegate.trainer.config import Launch
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.distributed.place import Place
from tunegate.trainer.distributed.team import Team
from tunegate.trainer.errors import as_failure
from tunegate.trainer.logbook import Logbook
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.stop import StopFlag, StopRequested

NOTHING_YET = ClaimGrant(
    fence=0, attempt=0, resume=False, remaining_s=float("inf"), secrets=TrainerSecrets()
)
"""Before rank 0 hands on what it was granted: in memory alone, from process to process."""


class SilentReporter(Reporter):
    """Rank 0 says it all."""

    def emit(self, event: TrainerEvent) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


def run_member(launch: Launch, place: Place, stop: StopFlag, clock: Clock) -> int:
    """Train with the others; gives the exit code."""
    from tunegate.trainer.run import Run, Stopped, train

    work_dir = launch.work_dir
    if place.node:  # the folder may be on a disk that the nodes share, and each fetches for itself
        work_dir = launch.work_dir / f"node-{place.node}"
    logbook = Logbook(work_dir / f"rank-{place.rank}")
    with Background() as background:
        team = Team(place, stop, background)
        team.when_stuck(lambda failure: os._exit(_exit_code(failure.code)))
        run = Run(
            launch.spec, NOTHING_YET, "", work_dir, None, None, team, background,
            SilentReporter(logbook, None, stop, clock), stop, Deadline(stop, clock, float("inf")),
        )  # fmt: skip
        try:
            train(run)
        except Exception as error:  # noqa: BLE001 (every end has a code)
            cause = team.explain(error)
            if isinstance(cause, StopRequested | Stopped):
                team.leave()
                return _exit_code("superseded" if cause.reason == "superseded" else "interrupted")
            failure = as_failure(cause)
            team.leave(failure)
            _complain(place, cause, failure)
            return _exit_code(failure.code)
        finally:
            logbook.close()
        team.leave()
    return 0


def _complain(place: Place, error: Exception, failure: TunegateError) -> None:
    """To the job's log. Where an unknown error broke, but not what it said, which could be secret."""
    print(f"rank {place.rank}: {failure.code}: {failure.detail}", file=sys.stderr, flush=True)
    if failure is not error:
        for line in traceback.format_list(traceback.extract_tb(error.__traceback__)):
            print(f"rank {place.rank}: {line.rstrip()}", file=sys.stderr, flush=True)


def _exit_code(code: str) -> int:
    return CATALOGUE[code].exit_code or 1
