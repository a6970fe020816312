"""`tunegate validate`: everything that can be found wrong with a job before it is submitted, without a gateway."""

from pathlib import Path
from typing import Any

import click
import msgspec

from tunegate.contract.decode import decode_request
from tunegate.control.estimate import DataSize, Estimate, estimate, training_spec
from tunegate.control.model_shape import shape_from_name
from tunegate.sdk.resolve import trainer_secrets
from tunegate.terminal import output, request_file
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure
from tunegate.terminal.offline import Look, lenient, look_over
from tunegate.terminal.options import (
    backend_option,
    config_option,
    json_option,
    set_option,
    settings,
)
from tunegate.terminal.survey import Finding, survey, with_files

_ADVICE = {
    "data_invalid": "Mend or remove these rows.",
    "data_empty": "See the reasons: rows may be too long, or hold nothing to learn.",
    "data_not_found": "Check the address, and the credentials in the request.",
    "data_access_denied": "Check the credentials in the request.",
    "storage_unavailable": "Try again; or look at a local copy with --data FILE.",
}


@click.command()
@click.argument("file")
@set_option
@backend_option
@click.option("--data", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE", help="Look at this file instead of the job's data sets; may stand several times.")  # fmt: skip
@click.option("--tokenizer", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER", help="Count tokens with this tokenizer instead of the model's own.")  # fmt: skip
@click.option("--no-data", is_flag=True, help="Look at the request only.")
@config_option
@json_option
def command(
    file: str,
    changes: tuple[str, ...],
    backend: str | None,
    files: tuple[Path, ...],
    tokenizer: Path | None,
    no_data: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Check the job in FILE (`-` reads standard input) and its data, without a gateway.

    The request is checked as a gateway does it, every problem at once; with --config by that gateway's settings, its
    launcher included. Then the data sets are read and tokenised as a training would, if the trainer is installed
    here. Exit code 3: there is something to mend.
    """
    body = request_file.read(file, changes, backend)
    request = decode_request(msgspec.json.encode(body))
    chosen, _ = settings(config)
    look = look_over(
        request, chosen if config else lenient(chosen), ask_launcher=config is not None
    )
    found = None
    spec = training_spec(look.container)
    if spec is not None and not no_data:
        spec = with_files(spec, files) if files else spec
        found = survey(spec, trainer_secrets(request), tokenizer, quiet=as_json)
        if found.code is not None:
            raise Failure([f"{found.code}: {found.detail}", f"  {_ADVICE.get(found.code, '')}"], ExitCode.INVALID)  # fmt: skip
        if found.count is not None and found.count.bad_rows:
            raise Failure([f"data_invalid: {found.count.bad_rows} bad rows", *(f"  {each}" for each in found.count.reasons)], ExitCode.INVALID)  # fmt: skip
    predicted = _predicted(look, found)
    if as_json:
        output.as_json(_as_json(look, found, predicted))
    else:
        _show(look, found, predicted)


def _predicted(look: Look, found: Finding | None) -> Estimate | None:
    spec = training_spec(look.container)
    if spec is None:
        return None
    report = found.report if found else None
    size = DataSize(rows=report.train_examples, tokens=report.tokens) if report else None
    shape = shape_from_name(look.request.base_model.model_name)
    return estimate(spec, look.container.resources, size, shape)


def _as_json(look: Look, found: Finding | None, predicted: Estimate | None) -> dict[str, Any]:
    return {
        "job_id": look.request.job_id,
        "backend": look.backend.name,
        "launcher": look.launcher.name if look.launcher else None,
        "ignored": look.admission.ignored,
        "notes": look.admission.notes,
        "data": found,
        "predicted": predicted,
    }


def _show(look: Look, found: Finding | None, predicted: Estimate | None) -> None:
    admission = look.admission
    facts = [
        ("job", look.request.job_id),
        ("backend", look.backend.name),
        ("launcher", look.launcher.name if look.launcher else ""),
        *(("ignored", f"{each.path}: {each.reason}") for each in admission.ignored),
        *(("note", note) for note in admission.notes),
    ]
    if found is not None:
        facts += _data_facts(found)
    if predicted is not None:
        memory = predicted.memory_bytes
        facts += [
            ("steps", f"{predicted.steps:,}" if predicted.steps else ""),
            ("memory", f"about {output.size(memory.total)} on each device" if memory else ""),
        ]
    output.facts(facts)
    output.say("the request is fine" if found is None else "the request and its data are fine" if found.report else "the request is fine; tokens were not counted")  # fmt: skip


def _data_facts(found: Finding) -> list[tuple[str, str]]:
    report, count = found.report, found.count
    facts: list[tuple[str, str]] = []
    if report is not None:
        dropped = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in report.dropped.items())  # fmt: skip
        facts = [
            ("rows", f"{report.rows:,}: {report.train_examples:,} examples to train on, {report.eval_examples:,} to evaluate on"),
            ("tokens", f"{report.tokens:,}, of which {report.supervised_tokens:,} are learned; the longest example has {report.longest:,}"),
            ("truncated", f"{report.truncated:,}"),
            ("dropped", dropped or "0"),
            ("duplicates", f"{report.duplicates:,}"),
            *(("note", note) for note in report.notes),
        ]  # fmt: skip
    if count is not None:
        shapes = ", ".join(f"{n:,} {shape}" for shape, n in count.shapes.items())
        facts = [("rows", f"{count.rows:,}: {shapes}"), ("duplicates", f"{count.duplicates:,}")]
    if found.not_counted is not None:
        uncounted = "tokens, truncated" if count else "rows, tokens, truncated, duplicates"
        facts.append(("not counted", f"{uncounted}: {found.not_counted}"))
    return facts
