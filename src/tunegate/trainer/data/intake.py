"""Files into the token cache: rows are read, normalised and rendered here, and tokenised by a thread meanwhile."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

from tunegate.contract.request import Objective
from tunegate.contract.training import TuningPlan
from tunegate.sdk.data import (
    PreferenceRow,
    Row,
    RowError,
    RowInvalid,
    SourceRow,
    normalise,
    read_rows,
)
from tunegate.sdk.data.rows import TrainOn
from tunegate.sdk.data.splits import is_eval_split
from tunegate.trainer.data.admit import Admission, Origin
from tunegate.trainer.data.cache import TokenCache
from tunegate.trainer.data.fetch import LocalFile, LocalSource, Say
from tunegate.trainer.data.render import Example, Renderer
from tunegate.trainer.data.tally import Tally
from tunegate.trainer.data.tokenise import TokenBatch, Tokeniser

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH_CHARACTERS = 2**19
"""Text that is tokenised at once: enough for all cores, little beside the model."""
_SAVE_CHARACTERS = 2**26
"""Text after which the cache is saved: what a killed run has to tokenise again at most."""
_BATCHES_AHEAD = 2

Check = Callable[[], None]
"""Called now and then; raises when the work should end."""


class _Batch(NamedTuple):
    """Examples of one file: their texts, of a pair the chosen one first."""

    texts: list[Example]
    origin: Origin
    evaluation: bool


class Intake:
    """Reads files one after the other, from where the cache was left. A context manager."""

    def __init__(
        self,
        sources: Sequence[LocalSource],
        tuning: TuningPlan,
        tokenizer: "PreTrainedTokenizerBase",
        cache: TokenCache,
    ) -> None:
        self._sources = sources
        self._train_on: TrainOn = tuning.train_on
        self._asked = tuning.objective
        self._objective: Objective | None = tuning.objective or cache.tally.objective
        self._renderer = Renderer(tokenizer, tuning.train_on, cache.tally.rendered)
        self._tokeniser = Tokeniser(tokenizer)
        files = tuple(file.name for source in sources for file in source.files)
        self._admission = Admission(files, tuning, cache)
        self._cache = cache
        self._rows: list[int] = list(cache.tally.rows)
        self._characters = 0
        self._unsaved = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self._ahead: deque[tuple[_Batch, Future[TokenBatch]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def run(self, say: Say, check: Check) -> None:
        """All that is not in the cache yet. Raises TunegateError data_invalid, data_empty, and what `check` raises."""
        before = self._cache.tally
        if before.complete:
            say("the data sets were tokenised by an earlier run")
            return
        places = [(index, file) for index, one in enumerate(self._sources) for file in one.files]
        for number, (source, file) in enumerate(places):
            if number < before.file:
                continue
            self._read(file, source, number, before.items if number == before.file else 0, check)
            say(f"read {file.name}: {self._rows[number]:,} rows")
        self._admit(waiting=0)
        self._admission.finish()
        self._save(len(places), 0, complete=True)

    def _read(self, file: LocalFile, source: int, number: int, skip: int, check: Check) -> None:
        declared, split = self._sources[source].format, self._sources[source].split
        evaluation = is_eval_split(split)
        batch = _Batch([], Origin(source, number, []), evaluation)
        if len(self._rows) == number:
            self._rows.append(0)
        items = enumerate(read_rows(file.path, name=file.name, declared=declared), 1)
        for place, item in items:
            if place <= skip:
                continue
            if isinstance(item, RowError):
                self._admission.refuse(item)
                continue
            self._rows[number] += 1
            for example in self._examples(item, file.name):
                batch.texts.extend(example)
                batch.origin.lines.append(item.line)
                self._characters += sum(len(text.text) for text in example)
            if self._characters >= _BATCH_CHARACTERS:
                check()
                self._send(batch)
                batch = _Batch([], Origin(source, number, []), evaluation)
                if self._unsaved >= _SAVE_CHARACTERS and self._admission.clean:
                    self._admit(waiting=0)
                    self._save(number, place)
        file.require_unchanged()
        self._send(batch)

    def _examples(self, row: SourceRow, file: str) -> list[tuple[Example, ...]]:
        """The row's examples: one text each, or the two of a pair."""
        try:
            made = self._for_objective(normalise(row.value, train_on=self._train_on))
            if isinstance(made, PreferenceRow):
                return [self._renderer.pair(made)]
            return [(text,) for text in self._renderer.render(made)]
        except RowInvalid as error:
            self._admission.refuse(RowError(file=file, line=row.line, reason=str(error)))
            return []

    def _for_objective(self, row: Row) -> Row:
        """The row as the objective takes it; where the job names none, the first row decides. Raises RowInvalid."""
        preference = isinstance(row, PreferenceRow)
        if self._objective is None:
            self._objective = "dpo" if preference else "sft"
        if preference == (self._objective == "dpo"):
            return row
        if not self._asked:
            raise RowInvalid(
                "some rows have rejected answers and some have none: name an objective"
            )
        if preference:
            return row.chosen
        raise RowInvalid("objective dpo needs a chosen and a rejected answer")

    def _send(self, batch: _Batch) -> None:
        """The batch to the thread; at most two are on their way."""
        self._ahead.append((batch, self._thread.submit(self._tokeniser.encode, batch.texts)))
        self._unsaved += self._characters
        self._characters = 0
        self._admit(waiting=_BATCHES_AHEAD)

    def _admit(self, *, waiting: int) -> None:
        """What the thread has done, until no more than `waiting` batches are left with it."""
        texts = 2 if self._objective == "dpo" else 1
        while len(self._ahead) > waiting:
            batch, encoded = self._ahead.popleft()
            self._admission.admit(
                encoded.result(), texts, batch.origin, evaluation=batch.evaluation
            )

    def _save(self, file: int, items: int, *, complete: bool = False) -> None:
        self._cache.save(
            Tally(
                complete=complete,
                file=file,
                items=items,
                rows=self._rows,
                dropped=self._admission.dropped,
                dropped_rows=self._admission.dropped_rows,
                truncated=self._admission.truncated,
                rendered=self._renderer.counts,
                objective=self._objective,
            )
        )
        self._unsaved = 0
