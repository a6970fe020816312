"""Fetched files → rows → text → tokens and masks → training and evaluation stores."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data.cache import cache_key, token_cache
from tunegate.trainer.data.fetch import LocalSource, Say
from tunegate.trainer.data.intake import Check, Intake
from tunegate.trainer.data.report import DataReport, FileReport, SourceReport
from tunegate.trainer.data.split import hold_out
from tunegate.trainer.data.tally import Tally
from tunegate.trainer.data.tokens import TokenStore

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PAIRS_FOUND = (
    "the rows have chosen and rejected answers: objective dpo, with learning_rate {rate:g}"
    " (jobs that name objective dpo start from a tenth of the usual one)"
)


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
    cache_root: Path | None = None,
    check: Check = lambda: None,
) -> Prepared:
    """Read, render, tokenise and split all rows. A tokenizer without a chat template is given the default one when chats come.

    Memory stays bounded: tokens go to files below `cache_root`, where a later call with the same data and settings
    finds them; without it they go to files that are gone with the process. `check` is called all the time and may
    raise to end the work. Raises TunegateError data_invalid (bad rows, `FILE:LINE: reason`, never their content),
    data_empty, or model_invalid for a tokenizer without a fast form.
    """
    # The libraries that are loaded by now are no garbage: looking through them again takes 0.1 s each time.
    gc.freeze()
    files = tuple(file.name for source in sources for file in source.files)
    weights = tuple(source.weight for source in sources)
    with token_cache(cache_root, cache_key(sources, tuning, tokenizer)) as cache:
        with Intake(sources, tuning, tokenizer, cache) as intake:
            intake.run(say, check)
        tally = cache.tally
        train, evaluation = cache.train.store(files, weights), cache.eval.store(files, weights)
    duplicates = count_duplicates(train, evaluation)
    notes = [*tally.rendered.notes(), *tally.notes(tuning.max_sequence_length)]
    if duplicates:
        notes.append(f"{duplicates} example(s) stand more than once in the data")
    if not len(evaluation):
        train, evaluation = hold_out(train, tuning.held_out_fraction, tuning.seed)
        if len(evaluation):
            notes.append(f"{len(evaluation)} example(s) are held out for evaluation")
    notes.extend(_streaming_notes(sources))
    if train.pairs and tuning.objective is None:
        notes.append(_PAIRS_FOUND.format(rate=tuning.learning_rate))
    report = DataReport(
        rows=sum(tally.rows),
        train_examples=len(train),
        eval_examples=len(evaluation),
        dropped=tally.dropped,
        truncated=tally.truncated,
        duplicates=duplicates,
        tokens=train.tokens,
        supervised_tokens=train.supervised_tokens,
        longest=int(train.lengths.max()),
        sources=_described(sources, tally),
        notes=notes,
    )
    say(
        f"{report.rows:,} rows: {len(train):,} examples to train on ({train.tokens:,} tokens,"
        f" {train.supervised_tokens:,} count), {len(evaluation):,} to evaluate on"
    )
    return Prepared(train, evaluation, report)


def count_duplicates(*stores: TokenStore) -> int:
    """Examples whose tokens stand elsewhere already, told by a hash of 64 bits."""
    digests = np.sort(np.concatenate([store.rows["digest"] for store in stores]))
    return int(np.count_nonzero(digests[1:] == digests[:-1]))


def _described(sources: Sequence[LocalSource], tally: Tally) -> list[SourceReport]:
    rows = iter(tally.rows)
    return [
        SourceReport(
            source=source.source,
            split=source.split,
            weight=source.weight,
            files=[
                FileReport(
                    name=file.name,
                    size_bytes=file.size_bytes,
                    sha256=file.sha256,
                    rows=next(rows),
                )
                for file in source.files
            ],
        )
        for source in sources
    ]


def _streaming_notes(sources: Sequence[LocalSource]) -> Iterator[str]:
    if any(source.streaming for source in sources):
        yield (
            "streaming: all data sets are fetched, then streamed through the tokenizer into files"
            " that training reads; none is ever in memory as a whole"
        )
