"""Every command of ours that README.md and docs/ name is there: targets of make, commands of `tunegate` with their options, bodies of jobs."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest

from tunegate.cli import cli
from tunegate.contract.decode import decode_request

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINE_OR_SPAN = re.compile(r"^ {4}(\S.*)$|`([^`]+)`", re.MULTILINE)
BEFORE = re.compile(r"(?:^|[|;&]\s*|\w=\S*\s+)(?=(?:make|tunegate)\s)")
AFTER = re.compile(r"\s(?:\d?[<>]|[|;&#…\[(])")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command that begins with `make` or `tunegate`: in blocks of shell, indented lines, and spans of code."""
    lines = [
        line.strip().removeprefix("$ ")
        for language, block in FENCE.findall(text)
        if language in ("sh", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    for line, span in LINE_OR_SPAN.findall(FENCE.sub("", text)):
        lines.append(" ".join((line or span).split()))
    for line in lines:
        for begin in BEFORE.finditer(line):
            yield shlex.split(AFTER.split(line[begin.end() :], maxsplit=1)[0])


def targets_of_make() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def fault_of_make(words: Iterable[str]) -> str | None:
    known = targets_of_make()
    variables = set(re.findall(r"\b([A-Z_]+)\b", (ROOT / "Makefile").read_text()))
    for word in words:
        name, is_variable, _ = word.partition("=")
        if not is_variable and name not in known:
            return f"no target {name}"
        if is_variable and name not in variables:
            return f"no variable {name}"
    return None


def fault_of_tunegate(words: list[str]) -> str | None:
    command: click.Command = cli
    context = click.Context(cli, info_name="tunegate")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        below = command.get_command(context, name)
        if below is None:
            return f"no command {name}"
        command, context = below, click.Context(below, info_name=name, parent=context)
    try:
        options, _, _ = command.make_parser(context).parse_args(rest)
    except click.UsageError as error:
        return error.format_message()
    named = {param.name for param in command.params}
    return None if set(options) <= named else f"unknown {set(options) - named}"


FAULT = {"make": fault_of_make, "tunegate": fault_of_tunegate}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_there(page: Path) -> None:
    faults = [
        f"{' '.join(words)}: {fault}"
        for words in commands(page.read_text())
        if (fault := FAULT[words[0]](words[1:]))
    ]
    assert faults == []


def test_commands_are_found_where_they_stand() -> None:
    found = {page.name: list(commands(page.read_text())) for page in PAGES}
    assert ["make", "demo"] in found["README.md"]
    assert ["tunegate", "submit", "job.json", "--watch"] in found["QUICKSTART.md"]
    assert ["tunegate", "keys", "retire"] in found["OPERATIONS.md"]
    assert ["tunegate", "serve", "--port", "8080"] in found["PLUGINS.md"]
    assert sum(map(len, found.values())) > 60


@pytest.mark.parametrize(
    "line",
    [
        "make imagse",
        "make faults SLICES=ci",
        "tunegate sumbit job.json",
        "tunegate submit job.json --whatch",
        "tunegate token mint",
    ],
)
def test_a_wrong_command_is_seen(line: str) -> None:
    (words,) = commands(f"```sh\n{line} # and so on\n```\n")
    assert FAULT[words[0]](words[1:]) is not None


def test_the_first_job_of_the_readme_is_a_job() -> None:
    text = (ROOT / "README.md").read_text()
    (body,) = re.findall(
        r"/train -H 'Content-Type: application/json' -d '(\{.*?\n\})'", text, re.DOTALL
    )
    assert decode_request(body.encode()).job_id == "my-first-job"
