"""`tunegate doctor`: what is wrong here, and what to do."""

from collections.abc import Iterator
from pathlib import Path

import click

from tunegate.doctor import Finding
from tunegate.doctor.installation import check_installation, is_whole
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.options import config_option, json_option, url_option


@click.command()
@config_option
@url_option
@json_option
def command(config: Path | None, url: str | None, as_json: bool) -> int:
    """Find out what is wrong with this installation and with the way to the gateway, and what to do.

    Looks, and changes nothing. Exit code 1: there is trouble; warnings are none.
    """
    found: list[Finding] = []
    area = ""
    for finding in _all(config, url):
        found.append(finding)
        if as_json:
            continue
        if finding.area != area:
            area = finding.area
            output.say(area)
        output.verdict(finding.state, f"{finding.subject}: {finding.detail}", finding.advice)
    if as_json:
        output.as_json({"findings": found})
    return ExitCode.FAILED if any(one.state == "trouble" for one in found) else ExitCode.OK


def _all(config: Path | None, url: str | None) -> Iterator[Finding]:
    """What is installed decides what can be asked."""
    yield from check_installation()
    if is_whole("client"):
        from tunegate.doctor.remote import check_remote

        yield from check_remote(url)
    if is_whole("gateway"):
        from tunegate.doctor.gateway import check_gateway
        from tunegate.doctor.trainer import check_trainer

        yield from check_gateway(config)
        yield from check_trainer(config)
