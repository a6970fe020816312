"""Fetched files → rows → text → tokens and masks → training and evaluation stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data.fetch import LocalSource, Say
from tunegate.trainer.data.report import DataReport
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

    Raises TunegateError data_invalid (bad rows, `FILE:LINE: reason`, never their content) or data_empty.
    """
    raise NotImplementedError
