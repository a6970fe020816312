"""What a job's data sets come to: by the trainer's own reading where it is installed, else by counting rows of local files."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.secret import reveal_hook
from tunegate.contract.training import DataSource, TrainerSecrets, TrainingSpec
from tunegate.sdk.data.count import DataFile, RowCount, count_rows
from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure

_NEEDED = ("torch", "transformers", "numpy", "pyarrow")
_NO_TRAINER = "the trainer is not installed here: pip install 'tunegate[trainer]'"


class Tokens(Wire):
    """What the trainer made of the rows; lengths in tokens."""

    rows: int
    train_examples: int
    eval_examples: int
    dropped: dict[str, int]
    truncated: int
    duplicates: int
    tokens: int
    supervised_tokens: int
    longest: int
    notes: list[str] = []


class Finding(Wire):
    """`tunegate.trainer.survey`'s answer: in tokens, or rows alone and why no token could be counted."""

    report: Tokens | None = None
    count: RowCount | None = None
    not_counted: str | None = None
    code: str | None = None
    detail: str | None = None


def survey(
    spec: TrainingSpec, secrets: TrainerSecrets, tokenizer: Path | None, *, quiet: bool
) -> Finding:
    """Read all data. Raises Failure."""
    if all(find_spec(name) for name in _NEEDED):
        return _by_trainer(spec, secrets, tokenizer, quiet=quiet)
    local = [path for source in spec.datasets if (path := _local(source)) is not None]
    if len(local) < len(spec.datasets):
        return Finding(not_counted=_NO_TRAINER)
    try:
        files = [DataFile(path, path.name, source.format) for path, source in zip(local, spec.datasets, strict=True)]  # fmt: skip
        return Finding(count=count_rows(files, spec.tuning.train_on), not_counted=_NO_TRAINER)
    except OSError as error:
        return Finding(code="data_not_found", detail=str(error))


def with_files(spec: TrainingSpec, files: tuple[Path, ...]) -> TrainingSpec:
    """The job with files of this machine in the place of its data sets."""
    sources = [DataSource(source=f"file://{file.resolve()}") for file in files]
    return msgspec.structs.replace(spec, datasets=sources)


def _by_trainer(
    spec: TrainingSpec, secrets: TrainerSecrets, tokenizer: Path | None, *, quiet: bool
) -> Finding:
    question: dict[str, Any] = {
        "spec": spec,
        "secrets": secrets,
        "tokenizer": str(tokenizer) if tokenizer else None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tunegate.trainer.survey"],
        input=msgspec.json.encode(question, enc_hook=reveal_hook),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        check=False,
    )
    if done.returncode:
        if done.stderr:
            output.hint(done.stderr.decode(errors="replace"))
        raise Failure("the data could not be looked at; the lines above say why", ExitCode.FAILED)
    return msgspec.json.decode(done.stdout, type=Finding)


def _local(source: DataSource) -> Path | None:
    parts = urlsplit(source.source)
    path = Path(unquote(parts.path))
    return path if parts.scheme == "file" and path.is_file() else None
