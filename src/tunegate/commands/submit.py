"""`tunegate submit`: a job from a file."""

import click

from tunegate.contract.job import Job
from tunegate.terminal import output, request_file, watching
from tunegate.terminal.options import backend_option, client, remote, set_option


@click.command()
@click.argument("file")
@set_option
@backend_option
@click.option("--watch", is_flag=True, help="Follow the job to its end.")
@click.option("--dry-run", is_flag=True, help="Let the gateway check and render the job, no more.")
@remote
def command(
    file: str,
    changes: tuple[str, ...],
    backend: str | None,
    watch: bool,
    dry_run: bool,
    url: str | None,
    as_json: bool,
) -> int | None:
    """Submit the job in FILE (`-` reads standard input).

    The same job_id with the same request gives the job that is there already: submitting again is safe.
    """
    request = request_file.read(file, changes)
    with client(url) as gateway:
        if dry_run:
            output.as_json(gateway.dry_run(request, backend=backend))
            return None
        try:
            job = gateway.submit(request, backend=backend)
        except KeyboardInterrupt:
            output.hint("\nthe gateway may have the job or not: submitting the same again is safe")
            raise
    if watch:
        if not as_json:
            _tell_ignored(job)
        with client(url, patient=True) as gateway:
            return watching.watch(gateway, job.job_id, as_json=as_json, url=url)
    if as_json:
        output.as_json(job)
        return None
    output.say(job.job_id)
    _tell_ignored(job)
    where = f" --url {url}" if url else ""
    output.hint(
        f"{job.status} on {job.launcher} with {job.backend}; follow it: tunegate watch {job.job_id}{where}"
    )
    return None


def _tell_ignored(job: Job) -> None:
    for ignored in job.ignored:
        output.hint(f"ignored {ignored.path}: {ignored.reason}")
