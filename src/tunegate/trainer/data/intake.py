"""One file's rows into the admission: read, normalised, rendered, and tokenised a batch at a time."""

from typing import TYPE_CHECKING

from tunegate.contract.request import DatasetFormat
from tunegate.contract.training import TuningPlan
from tunegate.sdk.data import RowError, RowInvalid, SourceRow, normalise, read_rows
from tunegate.sdk.data.rows import TrainOn
from tunegate.trainer.data.admit import Admission, Origin
from tunegate.trainer.data.fetch import LocalFile
from tunegate.trainer.data.render import Example, Renderer
from tunegate.trainer.data.tokenise import Tokeniser

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH_CHARACTERS = 2**20
"""Text that is tokenised at once: enough for all cores, little beside the model."""


class Intake:
    """Reads files one after the other."""

    def __init__(
        self, tuning: TuningPlan, tokenizer: "PreTrainedTokenizerBase", admission: Admission
    ) -> None:
        self.renderer = Renderer(tokenizer, tuning.train_on)
        self._tokeniser = Tokeniser(tokenizer)
        self._train_on: TrainOn = tuning.train_on
        self._admission = admission
        self._waiting: list[tuple[Example, Origin]] = []
        self._characters = 0

    def read(
        self,
        file: LocalFile,
        declared: DatasetFormat,
        *,
        source: int,
        number: int,
        evaluation: bool,
    ) -> int:
        """Take in the file, number `number` of source `source`; returns its rows. Raises TunegateError data_invalid."""
        rows = 0
        for item in read_rows(file.path, name=file.name, declared=declared):
            if isinstance(item, RowError):
                self._admission.refuse(item)
                continue
            rows += 1
            for example in self._examples(item, file.name):
                self._waiting.append((example, Origin(source, number, item.line)))
                self._characters += len(example.text)
            if self._characters >= _BATCH_CHARACTERS:
                self._flush(evaluation=evaluation)
        self._flush(evaluation=evaluation)
        return rows

    def _examples(self, row: SourceRow, file: str) -> list[Example]:
        try:
            return self.renderer.render(normalise(row.value, train_on=self._train_on))
        except RowInvalid as error:
            self._admission.refuse(RowError(file=file, line=row.line, reason=str(error)))
            return []

    def _flush(self, *, evaluation: bool) -> None:
        encoded = self._tokeniser.encode([example for example, _ in self._waiting])
        for tokens, (_, origin) in zip(encoded, self._waiting, strict=True):
            self._admission.admit(tokens, origin, evaluation=evaluation)
        self._waiting.clear()
        self._characters = 0
