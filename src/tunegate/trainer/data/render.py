"""Rows → examples: the text that is learnt from and which part of it counts for the loss."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from tunegate.contract.base import Wire
from tunegate.sdk.data import ChatRow, CompletionRow, PreferenceRow, RowInvalid, TextRow
from tunegate.sdk.data.rows import TrainOn
from tunegate.trainer.data.compiled import Span
from tunegate.trainer.data.template import DEFAULT_TEMPLATE, ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PlainRow = TextRow | CompletionRow | ChatRow


class Example(NamedTuple):
    """Text to be tokenised. `spans` None: all of it counts. `bare`: no template wrote it, so it lacks begin and end tokens."""

    text: str
    spans: list[Span] | None
    bare: bool


class RenderCounts(Wire):
    """How chats were rendered: see ChatTemplate. `defaulted`: with the default template, for the model has none."""

    defaulted: bool = False
    unrolled: int = 0
    open_ended: int = 0

    def notes(self) -> Iterator[str]:
        """What the client should know of it."""
        if self.defaulted:
            yield "the model has no chat template: a ChatML-like one was used and is saved with the result"
        if self.unrolled:
            yield (
                f"the chat template rewrites earlier turns: {self.unrolled} conversation(s)"
                " became one example per answer"
            )
        if self.open_ended:
            yield (
                f"the chat template does not count the end of {self.open_ended} answer(s):"
                " the model may not learn to stop"
            )


class Renderer:
    """Renders the rows of one job. The first chat gives a tokenizer without a template the default one.

    `before` are the counts of the rows that an earlier run has rendered.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        train_on: TrainOn,
        before: RenderCounts = RenderCounts(),  # noqa: B008 (frozen)
    ) -> None:
        self._tokenizer = tokenizer
        self._all = train_on == "all"
        self._template: ChatTemplate | None = None
        self._before = before
        self._defaulted = False
        if before.defaulted:
            self._chat_template()

    def render(self, row: PlainRow) -> list[Example]:
        """The examples of a row. Raises RowInvalid."""
        return self._render(row, whole=self._all)

    def pair(self, row: PreferenceRow) -> tuple[Example, Example]:
        """The chosen and the rejected text; of each only the answer counts. Raises RowInvalid."""
        chosen, rejected = (self._render(side, whole=False) for side in (row.chosen, row.rejected))
        if len(chosen) != 1 or len(rejected) != 1:
            raise RowInvalid(
                "the chat template rewrites earlier turns: prefer one answer at a time"
            )
        return chosen[0], rejected[0]

    def _render(self, row: PlainRow, *, whole: bool) -> list[Example]:
        match row:
            case TextRow(text=text):
                return [Example(text, None, bare=True)]
            case CompletionRow(prompt=prompt, completion=completion):
                text = prompt + completion
                spans = None if whole else [(len(prompt), len(text))]
                return [Example(text, spans, bare=True)]
            case ChatRow(messages=messages):
                template = self._chat_template()
                if whole:
                    return [Example(template.whole(messages), None, bare=False)]
                return [Example(*found, bare=False) for found in template.examples(messages)]

    @property
    def counts(self) -> RenderCounts:
        """Of all rows so far."""
        template = self._template
        return RenderCounts(
            defaulted=self._defaulted,
            unrolled=self._before.unrolled + (template.unrolled if template else 0),
            open_ended=self._before.open_ended + (template.open_ended if template else 0),
        )

    def _chat_template(self) -> ChatTemplate:
        if self._template is None:
            if not self._tokenizer.chat_template:
                self._tokenizer.chat_template = DEFAULT_TEMPLATE
                self._defaulted = True
            self._template = ChatTemplate(self._tokenizer)
        return self._template
