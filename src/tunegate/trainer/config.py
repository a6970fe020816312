"""What the trainer is given: job.json, perhaps a ticket beside it, perhaps secrets."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from tunegate.contract.attempt import ClaimGrant
from tunegate.contract.base import Wire
from tunegate.contract.secret import Secret, decode_hook
from tunegate.contract.training import AttemptTicket, TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError

T = TypeVar("T")


class Launch(Wire):
    """One run as it was started. With a ticket the secrets come with the claim, without one from here."""

    spec: TrainingSpec
    work_dir: Path
    ticket: AttemptTicket | None = None
    token: Secret | None = None
    grant: ClaimGrant | None = None
    """Of a run that can't reach its gateway: what it has once it has won the claim."""
    secrets: TrainerSecrets = TrainerSecrets()


def read_launch(job: Path, secrets: Path | None, work_dir: Path | None) -> Launch:
    """Read the files of a run. Raises TunegateError config_invalid."""
    spec = _read(job, TrainingSpec, "the job file")
    work_dir = work_dir or job.parent / "work"
    work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ticket_file = job.parent / "attempt.json"
    if ticket_file.exists():
        ticket = _read(ticket_file, AttemptTicket, "the ticket")
        if ticket.grant_file is not None:
            grant = _read_grant(ticket_file.parent / ticket.grant_file)
            return Launch(spec=spec, work_dir=work_dir, ticket=ticket, grant=grant)
        token = _read_token(ticket_file.parent / ticket.token_file)
        return Launch(spec=spec, work_dir=work_dir, ticket=ticket, token=token)
    given = _read(secrets, TrainerSecrets, "the secrets file") if secrets else TrainerSecrets()
    return Launch(spec=_standalone(spec), work_dir=work_dir, secrets=_with_environment(given))


def _read(path: Path, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=decode_hook)
    except OSError as error:
        raise TunegateError("config_invalid", f"Can't read {what}: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise TunegateError("config_invalid", f"Can't decode {what}: {error}.") from error


def _read_grant(path: Path) -> ClaimGrant | None:
    """None where the launcher took it away, as it does once a run has the claim."""
    return _read(path, ClaimGrant, "the grant") if path.exists() else None


def _read_token(path: Path) -> Secret:
    try:
        return Secret(path.read_text().strip())
    except OSError as error:
        sentence = f"Can't read the ticket's token file: {error.strerror}."
        raise TunegateError("config_invalid", sentence) from error


def _standalone(spec: TrainingSpec) -> TrainingSpec:
    """Without a gateway there is no operator but the user: where no folder is named, all are theirs."""
    if spec.storage.file_roots:
        return spec
    storage = msgspec.structs.replace(spec.storage, file_roots=["/"])
    return msgspec.structs.replace(spec, storage=storage)


def _with_environment(secrets: TrainerSecrets) -> TrainerSecrets:
    token = os.environ.get("HF_TOKEN")
    if secrets.hub_token is not None or not token:
        return secrets
    return msgspec.structs.replace(secrets, hub_token=Secret(token))
