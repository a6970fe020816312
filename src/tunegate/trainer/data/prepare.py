"""Fetched files → rows → text → tokens and masks → training and evaluation stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data.admit import Admission
from tunegate.trainer.data.fetch import LocalSource, Say
from tunegate.trainer.data.intake import Intake
from tunegate.trainer.data.report import DataReport, FileReport, SourceReport
from tunegate.trainer.data.select import is_eval_split
from tunegate.trainer.data.split import hold_out
from tunegate.trainer.data.tokens import TokenStore

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that training and evaluation see. `eval` is empty when there is nothing to evaluate on."""

    train: TokenStore
    eval: TokenStore
    report: DataReport


def prepare(
    sources: Sequence[LocalSource],
    tuning: TuningPlan,
    tokenizer: "PreTrainedTokenizerBase",
    say: Say,
) -> Prepared:
    """Read, render, tokenise and split all rows. A tokenizer without a chat template is given the default one when chats come.

    Raises TunegateError data_invalid (bad rows, `FILE:LINE: reason`, never their content), data_empty, or
    model_invalid for a tokenizer without a fast form.
    """
    files = tuple(file.name for source in sources for file in source.files)
    weights = tuple(source.weight for source in sources)
    admission = Admission(files, weights, tuning)
    intake = Intake(tuning, tokenizer, admission)
    read = _read(sources, intake, say)
    admission.finish()
    train, evaluation = admission.train.build(), admission.eval.build()
    notes = [*intake.renderer.notes(), *admission.notes()]
    if not len(evaluation):
        train, evaluation = hold_out(train, tuning.held_out_fraction, tuning.seed)
        if len(evaluation):
            notes.append(f"{len(evaluation)} example(s) are held out for evaluation")
    notes.extend(_streaming_notes(sources))
    report = DataReport(
        rows=sum(file.rows for source in read for file in source.files),
        train_examples=len(train),
        eval_examples=len(evaluation),
        dropped=dict(admission.dropped),
        truncated=admission.truncated,
        duplicates=admission.duplicates,
        tokens=train.tokens,
        supervised_tokens=train.supervised_tokens,
        longest=int(train.lengths.max()),
        sources=read,
        notes=notes,
    )
    say(
        f"{report.rows:,} rows: {len(train):,} examples to train on ({train.tokens:,} tokens,"
        f" {train.supervised_tokens:,} count), {len(evaluation):,} to evaluate on"
    )
    return Prepared(train, evaluation, report)


def _read(sources: Sequence[LocalSource], intake: Intake, say: Say) -> list[SourceReport]:
    reports: list[SourceReport] = []
    number = 0
    for index, source in enumerate(sources):
        files: list[FileReport] = []
        for file in source.files:
            rows = intake.read(
                file,
                source.format,
                source=index,
                number=number,
                evaluation=is_eval_split(source.split),
            )
            say(f"read {file.name}: {rows:,} rows")
            number += 1
            files.append(
                FileReport(
                    name=file.name, size_bytes=file.size_bytes, sha256=file.sha256, rows=rows
                )
            )
        reports.append(
            SourceReport(
                source=source.source, split=source.split, weight=source.weight, files=files
            )
        )
    return reports


def _streaming_notes(sources: Sequence[LocalSource]) -> list[str]:
    if not any(source.streaming for source in sources):
        return []
    return [
        "streaming has no effect: data sets are fetched and tokenised before the training starts"
    ]
