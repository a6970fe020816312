"""What every launcher lays beside a run's program, and how the program is called. Pure.

All of it goes into one folder, which `{files}` in the command stands for: the container's own files, the ticket
(`attempt.json`) and the one secret: the claim token, or the grant of a run that does not call back. The trainer finds ticket and token beside `job.json`, so a launcher
may give them by a folder, a volume or a channel; the token goes into the engine's own secret object or a 0600 file.
"""

from collections.abc import Mapping

import msgspec

from tunegate.contract.trainer_status import SERVER_CA_CERT, SERVER_TOKEN, SERVER_URL, STATUS_PATH
from tunegate.contract.training import PROCESSES, AttemptTicket
from tunegate.sdk.launcher import Run

TICKET_FILE = "attempt.json"
TOKEN_FILE = "claim-token"  # noqa: S105  the file's name
GRANT_FILE = "claim-grant.json"
CONTAINER_FOLDER = "/tunegate/files"
"""Where launchers that run images mount the folder, read-only."""
WORK_FOLDER = "/tunegate/work"
"""Where they give the run a disk to write to; `WORK` names it."""
WORK = "TUNEGATE_WORK_DIR"


def public_files(run: Run) -> dict[str, bytes]:
    """The container's files and the ticket, by path within the folder. No secret is in them."""
    ticket = AttemptTicket(
        job_id=run.job_id,
        attempt=run.attempt,
        attempt_id=run.attempt_id,
        run_name=run.name,
        gateway_url=run.gateway_url,
        token_file=TOKEN_FILE,
        grant_file=None if run.grant is None else GRANT_FILE,
    )
    return {
        **{file.path: file.content.encode() for file in run.container.files},
        TICKET_FILE: msgspec.json.encode(ticket),
    }


def secret_files(run: Run) -> dict[str, bytes]:
    """The claim token alone, or the grant of a run that does not call back."""
    if run.grant is not None:
        return {GRANT_FILE: run.grant.reveal().encode()}
    return {TOKEN_FILE: run.claim_token.reveal().encode()}


def command_of(run: Run, folder: str, python: str = "python") -> list[str]:
    """The argument list with `{files}` replaced; `python` is what stands for the command's own `python`."""
    argv = [part.replace("{files}", folder) for part in run.container.command]
    return [python, *argv[1:]] if argv[0] == "python" else argv


def container_env(run: Run, folder: str) -> Mapping[str, str]:
    """The container's own variables; to a program that reports by Kubeflow Trainer's protocol also where to.

    Of `{files}` in a value becomes the folder, as in the command.
    """
    own = {name: value.replace("{files}", folder) for name, value in run.container.env.items()}
    if run.container.protocol != "kubeflow":
        return own
    path = STATUS_PATH.format(attempt_id=run.attempt_id)
    return {
        **own,
        SERVER_URL: run.gateway_url.rstrip("/") + path,
        SERVER_CA_CERT: own.get("SSL_CERT_FILE", ""),
        SERVER_TOKEN: f"{folder}/{TOKEN_FILE}",
    }


def node_env(run: Run, *, rank: int | str, master_addr: str, master_port: int) -> Mapping[str, str]:
    """What tells the trainer of one node its place among `nodes`, each of which starts one process for each of its GPUs.

    `rank` is the node's number. One node gets its number of processes alone. Where an engine numbers the nodes itself the
    launcher fills in `rank` by the engine's own means (a fieldRef, a variable of its batch script).
    """
    resources = run.container.resources
    env = {PROCESSES: str(max(1, resources.gpus))}
    if resources.nodes > 1:
        env |= {
            "RANK": str(rank),
            "WORLD_SIZE": str(resources.nodes),
            "MASTER_ADDR": master_addr,
            "MASTER_PORT": str(master_port),
        }
    return env
