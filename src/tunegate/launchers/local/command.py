"""From a run to argument list, environment and files. Pure."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tunegate.contract.training import PROCESSES, AttemptTicket
from tunegate.launchers.local.queue import Grant
from tunegate.launchers.local.settings import PASSED_ON, LocalSettings
from tunegate.sdk.launcher import Run

MARK = "TUNEGATE_RUN"
"""Variable that every process of a run carries; its value is the run's folder."""
TOKEN_FILE = "claim-token"  # noqa: S105  the file's name
TICKET_FILE = "attempt.json"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def argv_of(run: Run, files: Path, python: str) -> list[str]:
    """`{files}` becomes the folder, `python` the operator's interpreter."""
    argv = [part.replace("{files}", str(files)) for part in run.container.command]
    return [python, *argv[1:]] if argv[0] == "python" else argv


def files_of(run: Run) -> dict[str, bytes]:
    """The container's files, the ticket, and the claim token: the one secret that a run gets."""
    ticket = AttemptTicket(
        job_id=run.job_id,
        attempt=run.attempt,
        attempt_id=run.attempt_id,
        run_name=run.name,
        gateway_url=run.gateway_url,
        token_file=TOKEN_FILE,
    )
    return {
        **{file.path: file.content.encode() for file in run.container.files},
        TICKET_FILE: msgspec.json.encode(ticket),
        TOKEN_FILE: run.claim_token.reveal().encode(),
    }


def env_names(run: Run, settings: LocalSettings) -> list[str]:
    """Every variable that the run may see."""
    ours = (MARK, PROCESSES, "CUDA_VISIBLE_DEVICES", *_THREADS)
    return sorted({*PASSED_ON, *settings.env, *run.container.env, *ours})


def env_of(
    container_env: Mapping[str, str],
    grant: Grant,
    folder: Path,
    settings: LocalSettings,
    gateway_env: Mapping[str, str],
) -> dict[str, str]:
    """A short environment: what the operator lets through, the container's own, and the grant."""
    passed = {n: gateway_env[n] for n in (*PASSED_ON, *settings.env) if n in gateway_env}
    threads = dict.fromkeys(_THREADS, str(grant.cpus))
    ours = {MARK: str(folder), "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu_ids)}
    ours[PROCESSES] = str(len(grant.gpu_ids) or settings.processes)
    return {**threads, **passed, **container_env, **ours}
