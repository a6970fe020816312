"""One attempt from its claim to its exit code, whatever happens in between."""

import contextlib
import os
import secrets as random_names
import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import msgspec

from tunegate.contract.attempt import ClaimGrant, StoppedEvent
from tunegate.contract.secret import Secret, reveal_hook
from tunegate.contract.training import TrainerSecrets, TrainingSpec
from tunegate.sdk.clock import Clock, SystemClock
from tunegate.sdk.errors import CATALOGUE, TunegateError
from tunegate.sdk.storage import ObjectStore, StorageError
from tunegate.storage.open import open_store
from tunegate.trainer.background import Background
from tunegate.trainer.claim import claim_attempt
from tunegate.trainer.config import Launch
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.distributed.limits import check_served
from tunegate.trainer.distributed.place import ALONE, Place
from tunegate.trainer.distributed.team import Team
from tunegate.trainer.errors import as_failure, output_storage_errors
from tunegate.trainer.gateway import Gateway, GatewayClient
from tunegate.trainer.logbook import Logbook
from tunegate.trainer.logs import LogUploader
from tunegate.trainer.mailbox import MailboxClient
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.spans import phase_spans
from tunegate.trainer.stop import SENTENCES, StopFlag, StopRequested

if TYPE_CHECKING:
    from tunegate.trainer.trackers.following import Followers


def run_attempt(launch: Launch, place: Place = ALONE) -> int:
    """Claim, train, report; gives the exit code. Of several processes only rank 0 claims, reports and publishes."""
    stop, clock, run_uid = StopFlag(), SystemClock(), random_names.token_hex(16)
    stop.on_signals()
    if not place.is_main:
        from tunegate.trainer.distributed.member import run_member

        return run_member(launch, place, stop, clock)
    with Background() as background, _client(launch, run_uid, background) as client:
        team = Team(place, stop, background)
        try:
            grant = _grant(launch, client, background, stop, clock)
        except TunegateError as error:
            print(error, flush=True)
            team.call_off(error)
            return _exit_code(error.code)
        except StopRequested:
            return _exit_code("interrupted")
        logbook = Logbook(launch.work_dir / "logs")
        reporter = Reporter(logbook, client, stop, clock)
        reporter.start(background)
        spans = phase_spans()
        if spans is not None:
            reporter.follow(spans.event)
        deadline = Deadline(stop, clock, _budget_s(grant.remaining_s, launch.spec))
        background.start(deadline.watch())
        try:
            return _Attempt(
                launch, grant, run_uid, team, background, reporter, stop, deadline
            ).run()
        finally:
            logbook.close()
            if spans is not None:
                spans.close()


class _Attempt:
    """What happens between the claim and the exit."""

    def __init__(
        self,
        launch: Launch,
        grant: ClaimGrant,
        run_uid: str,
        team: Team,
        background: Background,
        reporter: Reporter,
        stop: StopFlag,
        deadline: Deadline,
    ) -> None:
        self._launch = launch
        self._grant = grant
        self._run_uid = run_uid
        self._team = team
        self._background = background
        self._reporter = reporter
        self._stop = stop
        self._deadline = deadline
        self._followers: Followers | None = None

    def run(self) -> int:
        spec = self._launch.spec
        self._team.when_stuck(self._end_at_once)
        try:
            check_served(spec, self._team.place.world)
            with output_storage_errors(spec.output.output_uri):
                output = self._opened(spec.output.output_uri)
        except TunegateError as error:
            return self._failed(error)
        with output as store, self._log_store() as log_store:
            logs = LogUploader(self._reporter.logbook, log_store, spec.output.log_uri)
            code = self._outcome(store, logs)
            if self._followers is not None:
                self._followers.wait()
            self._reporter.flush()
            self._background.run(logs.upload())
        return code

    def _outcome(self, output: ObjectStore, logs: LogUploader) -> int:
        from tunegate.trainer.run import Run, Stopped, train

        run = Run(
            self._launch.spec, self._grant, self._run_uid, self._launch.work_dir,
            output, logs, self._team, self._background, self._reporter, self._stop, self._deadline,
        )  # fmt: skip
        try:
            self._start_trackers()
            succeeded = train(run)
        except Exception as error:  # noqa: BLE001 (every end has a code)
            cause = self._team.explain(error)
            if isinstance(cause, StopRequested | Stopped):
                self._team.leave()
                step = cause.step if isinstance(cause, Stopped) else None
                return self._stopped(cause.reason, step)
            return self._failed(cause)
        self._team.leave()
        if succeeded is not None:
            self._reporter.emit(succeeded)
        return 0

    def _start_trackers(self) -> None:
        if not self._launch.spec.output.trackers:
            return
        from tunegate.trainer.trackers.following import follow

        spec, secrets, reporter = self._launch.spec, self._grant.secrets, self._reporter
        self._followers = follow(spec, secrets, reporter.logbook.folder, reporter.note)
        reporter.follow(self._followers.event)

    def _stopped(self, reason: str, step: int | None) -> int:
        if reason == "superseded":
            return _exit_code("superseded")
        kept = "no step was finished" if step is None else f"checkpoint of step {step} is kept"
        sentence = next(text for name, text in SENTENCES.items() if name == reason)
        detail = f"{sentence}; {kept}."
        if reason == "deadline":  # for a job without time there is no other attempt
            self._reporter.failed("deadline_exceeded", detail)
        else:
            self._reporter.emit(StoppedEvent(detail=detail, checkpoint_step=step))
        return _exit_code("interrupted")

    def _failed(self, error: Exception) -> int:
        failure = as_failure(error)
        if failure.code != "superseded":
            if failure is not error:
                self._write_traceback(error)
            self._reporter.failed(failure.code, failure.detail)
        self._team.leave(failure)
        return _exit_code(failure.code)

    def _end_at_once(self, failure: TunegateError) -> None:
        """Another rank has failed, and this one's main thread is in a call that does not come back."""
        self._reporter.failed(failure.code, failure.detail)
        self._reporter.flush(timeout_s=10.0)
        os._exit(_exit_code(failure.code))

    def _write_traceback(self, error: Exception) -> None:
        """Into the log alone, and without the job's secrets."""
        for line in traceback_lines(error, self._grant.secrets):
            self._reporter.logbook.complain(line)

    @contextlib.contextmanager
    def _log_store(self) -> Generator[ObjectStore | None]:
        uri = self._launch.spec.output.log_uri
        if uri is None:
            yield None
            return
        try:
            opened = self._opened(uri)
        except StorageError as error:
            self._reporter.note(f"the logs can't be uploaded: {error}")
            yield None
            return
        with opened as store:
            yield store

    def _opened(self, uri: str) -> contextlib.AbstractContextManager[ObjectStore]:
        store = open_store(uri, self._launch.spec.storage, self._grant.secrets.artifacts)
        return _entered(store, self._background)


@contextlib.contextmanager
def _entered(store: ObjectStore, background: Background) -> Generator[ObjectStore]:
    """A store's life, on the background loop."""
    background.run(store.__aenter__())
    try:
        yield store
    finally:
        background.run(store.__aexit__(None, None, None))


@contextlib.contextmanager
def _client(launch: Launch, run_uid: str, background: Background) -> Generator[Gateway | None]:
    if launch.ticket is None:
        yield None
        return
    if launch.token is not None:
        client = GatewayClient(launch.ticket, launch.token, run_uid)
    else:
        client = MailboxClient(launch.ticket, launch.grant, launch.spec, run_uid)
    background.run(client.__aenter__())
    try:
        yield client
    finally:
        background.run(client.__aexit__(None, None, None))


def _grant(
    launch: Launch,
    client: Gateway | None,
    background: Background,
    stop: StopFlag,
    clock: Clock,
) -> ClaimGrant:
    """The gateway's, or one for a run without gateway, which goes on from what it finds."""
    if client is not None:
        return background.run(claim_attempt(client, clock), stop)
    remaining_s = launch.spec.max_duration_s or float("inf")
    return ClaimGrant(
        fence=0, attempt=0, resume=True, remaining_s=remaining_s, secrets=launch.secrets
    )


def _budget_s(remaining_s: float, spec: TrainingSpec) -> float:
    return min(remaining_s, spec.max_duration_s or float("inf"))


def _exit_code(code: str) -> int:
    return CATALOGUE[code].exit_code or 1


def traceback_lines(error: Exception, secrets: TrainerSecrets) -> Iterator[str]:
    """Without the secrets."""
    hidden = _revealed(secrets)
    for line in "".join(traceback.format_exception(error)).splitlines():
        for secret in hidden:
            line = line.replace(secret, "***")  # noqa: PLW2901
        yield line


def _revealed(secrets: TrainerSecrets) -> list[str]:
    """Every secret string, longest first, so that one inside another is hidden too."""
    found: list[str] = []

    def collect(value: object) -> object:
        if isinstance(value, Secret):
            found.append(value.reveal())
        return reveal_hook(value)

    msgspec.to_builtins(secrets, enc_hook=collect)
    return sorted((text for text in found if text), key=len, reverse=True)
