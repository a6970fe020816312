"""`tunegate cancel`, `retry` and `delete`."""

from typing import Any

import click

from tunegate.contract.job import Job
from tunegate.terminal import output, request_file, watching
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.options import client, remote, set_option


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@remote
def cancel(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Stop jobs. Those that are over stay as they are."""
    with client(url) as gateway:
        for job_id in job_ids:
            _tell(gateway.cancel(job_id), as_json=as_json)


@click.command()
@click.argument("job_id")
@click.option("--request", "file", metavar="FILE", help="The job's request again (`-`: standard input), where its credentials were destroyed.")  # fmt: skip
@click.option("--launcher", metavar="NAME", help="Run it there; needs --request.")
@set_option
@click.option("--watch", is_flag=True, help="Follow the job to its end.")
@remote
def retry(
    job_id: str,
    file: str | None,
    launcher: str | None,
    changes: tuple[str, ...],
    watch: bool,
    url: str | None,
    as_json: bool,
) -> int | None:
    """Let a failed or cancelled job go on from its last checkpoint."""
    if file is None and (launcher or changes):
        raise Failure(
            "--launcher and --set change the request: give it with --request FILE", ExitCode.USAGE
        )
    request: dict[str, Any] | None = None
    if file is not None:
        request = request_file.read(file, changes, launcher=launcher)
    with client(url) as gateway:
        job = gateway.retry(job_id, request)
    if watch:
        with client(url, patient=True) as gateway:
            return watching.watch(gateway, job_id, as_json=as_json, url=url)
    _tell(job, as_json=as_json)
    return None


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@remote
def delete(job_ids: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Forget finished jobs; their artifacts stay."""
    with client(url) as gateway:
        for job_id in job_ids:
            gateway.delete(job_id)
            if as_json:
                output.as_json_line({"job_id": job_id, "deleted": True})
            else:
                output.say(f"{job_id} is forgotten")


def _tell(job: Job, *, as_json: bool) -> None:
    if as_json:
        output.as_json_line(job)
    else:
        output.say(f"{job.job_id}  {job.status}  {job.detail}")
