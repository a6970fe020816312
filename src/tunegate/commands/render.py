"""`tunegate render`: what would run, as values: the container spec and the request to the engine."""

from pathlib import Path
from typing import Any

import click
import msgspec

from tunegate.contract.decode import decode_request
from tunegate.control.dry_run import launcher_request
from tunegate.terminal import output, request_file
from tunegate.terminal.offline import lenient, look_over
from tunegate.terminal.options import (
    backend_option,
    config_option,
    json_option,
    set_option,
    settings,
)


@click.command()
@click.argument("file")
@set_option
@backend_option
@click.option("--launcher", metavar="NAME", help="Render for this launcher.")
@config_option
@json_option
def command(
    file: str,
    changes: tuple[str, ...],
    backend: str | None,
    launcher: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Print what would run for the job in FILE, without a gateway: container and engine request, free of secrets.

    Without --config it is judged as leniently as can be, and the local launcher stands in for GPUs that are not here.
    A gateway does the same with `tunegate submit --dry-run`. With --json files of the container stay text.
    """
    body = request_file.read(file, changes, backend, launcher)
    request = decode_request(msgspec.json.encode(body))
    chosen, _ = settings(config)
    look = look_over(request, chosen if config else lenient(chosen), ask_launcher=True)
    if look.launcher is None:
        raise RuntimeError("the launcher was asked for")
    rendered = {
        "backend": look.backend.name,
        "launcher": look.launcher.name,
        "ignored": look.admission.ignored,
        "notes": look.admission.notes,
        "container": look.container,
        "launcher_request": launcher_request(
            request.job_id, look.container, look.launcher, look.admission,
            gateway_url=chosen.server.public_url or "", grace_s=chosen.control.grace_s,
        ),
    }  # fmt: skip
    if as_json:
        output.as_json(rendered)
    else:
        output.as_tree(_readable(msgspec.to_builtins(rendered)))


def _readable(value: Any) -> Any:
    """Texts that hold a JSON object as that object."""
    if isinstance(value, dict):
        return {name: _readable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value
