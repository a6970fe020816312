"""`python -m tunegate.trainer.survey`: what the data sets of a job come to, without training. For `tunegate validate`.

A `Question` comes in JSON on standard input (it may hold credentials, which must stand in no argument list), a `Finding`
goes to standard output, and what is being done to standard error.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.secret import decode_hook
from tunegate.contract.training import TrainerSecrets, TrainingSpec
from tunegate.sdk.data.count import DataFile, RowCount, count_rows
from tunegate.sdk.errors import TunegateError
from tunegate.storage.open import open_store
from tunegate.trainer.data import DataReport, LocalSource, fetch_sources, prepare
from tunegate.trainer.weights import fetch_model


class Question(Wire):
    """`tokenizer` is a folder to be used instead of the model's own."""

    spec: TrainingSpec
    secrets: TrainerSecrets = TrainerSecrets()
    tokenizer: str | None = None


class Finding(Wire):
    """Either a report in tokens, or rows alone and the reason why no token could be counted."""

    report: DataReport | None = None
    count: RowCount | None = None
    not_counted: str | None = None
    code: str | None = None
    """Of the failure that the job would end with."""
    detail: str | None = None


def survey(question: Question, work_dir: Path, say: Callable[[str], None]) -> Finding:
    """Fetch and tokenise all data sets as a training would."""
    spec = question.spec
    try:
        sources = asyncio.run(fetch_sources(spec, question.secrets, work_dir, say))
    except TunegateError as error:
        return Finding(code=error.code, detail=error.detail)
    try:
        folder = _tokenizer(question, work_dir)
        report = _report(sources, question, folder, work_dir, say)
    except TunegateError as error:
        if error.code.startswith("data_"):
            return Finding(code=error.code, detail=error.detail)
        files = [DataFile(file.path, file.name, s.format) for s in sources for file in s.files]
        return Finding(count=count_rows(files, spec.tuning.train_on), not_counted=error.detail)
    return Finding(report=report)


def _tokenizer(question: Question, work_dir: Path) -> Path:
    if question.tokenizer is not None:
        return Path(question.tokenizer)
    fetching = fetch_model(
        question.spec, question.secrets, work_dir, open_store, with_weights=False
    )
    return asyncio.run(fetching)


def _report(
    sources: list[LocalSource],
    question: Question,
    folder: Path,
    work_dir: Path,
    say: Callable[[str], None],
) -> DataReport:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        sentence = f"The tokenizer can't be loaded ({type(error).__name__})."
        raise TunegateError("model_invalid", sentence) from error
    return prepare(sources, question.spec.tuning, tokenizer, say, work_dir / "tokens").report


def main() -> int:
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question, dec_hook=decode_hook)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="tunegate-") as work_dir:
            found = survey(question, Path(work_dir), say)
    except KeyboardInterrupt:
        return 130
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


if __name__ == "__main__":
    from tunegate.trainer.__main__ import quieten

    quieten()
    sys.exit(main())
