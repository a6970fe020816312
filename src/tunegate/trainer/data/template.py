"""The model's chat template, rendered together with the spans of text that count for the loss.

Three ways, in this order:
1. The template marks what the model generates (`{% generation %}`): the marks are used as they are.
2. Without marks, an assistant's turn is what a render that ends with it adds to the generation prompt before it,
   up to the first control token after the answer, inclusive. Each such render must be the beginning of the next.
3. Some templates rewrite earlier turns (they drop the reasoning, say), so that the second way does not hold. Then
   every answer becomes an example of its own, with the conversation before it as the model would see it.
A template that fits none of the three is refused: a wrong mask would train silently on the wrong tokens.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tunegate.sdk.data import Message, RowInvalid
from tunegate.trainer.data.compiled import CompiledTemplate, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + (eos_token or '<|im_end|>') }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""For models that bring no template: ChatML, but an answer ends with the model's own end token, so that generation
stops there. No token is added to the vocabulary; the markers are plain text to such a model."""

_PROBE = "answer-4e5fb2d1"
_TAILS_KEPT = 1000
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


class Rendered(NamedTuple):
    """Text and the spans of it that count for the loss."""

    text: str
    spans: list[Span]


class ChatTemplate:
    """One tokenizer's template. `unrolled` counts conversations that took the third way, `open_ended` answers whose
    end token does not count, so that the model would not learn to stop.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        source = tokenizer.get_chat_template()
        self._compiled = CompiledTemplate(source, tokenizer.special_tokens_map)
        self._marked = bool(_GENERATION.search(source))
        control = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        self._ends = tuple(sorted(control, key=len, reverse=True))
        self._control = re.compile("|".join(map(re.escape, self._ends)) or "(?!)")
        self._tails: dict[tuple[str, ...], str] = {}
        self.unrolled = 0
        self.open_ended = 0

    def whole(self, messages: Sequence[Message]) -> str:
        """The conversation's text alone. Raises RowInvalid."""
        return self._compiled.render(messages)

    def examples(self, messages: Sequence[Message]) -> list[Rendered]:
        """The conversation with its spans; several examples where answers had to be taken apart. Raises RowInvalid."""
        examples = [self._from_marks(messages)] if self._marked else self._from_turns(messages)
        for text, spans in examples:
            self.open_ended += sum(
                not text[start:end].rstrip().endswith(self._ends) for start, end in spans
            )
        return examples

    def _from_marks(self, messages: Sequence[Message]) -> Rendered:
        text, marks = self._compiled.render_marked(messages)
        answers = [message for message in messages if message.role == "assistant"]
        if len(marks) != len(answers):
            if not marks or not all(answer.counts for answer in answers):
                raise RowInvalid("the model's chat template does not mark every answer")
            return Rendered(text, marks)
        for answer, (start, end) in zip(answers, marks, strict=True):
            # A mark inside a macro is reported at the wrong place.
            content = answer.content.strip()
            if content not in text[start:end] and content in text:
                raise RowInvalid("the model's chat template marks something else than the answers")
        pairs = zip(answers, marks, strict=True)
        return Rendered(text, [mark for answer, mark in pairs if answer.counts])

    def _from_turns(self, messages: Sequence[Message]) -> list[Rendered]:
        whole = self.whole(messages)
        turns: list[Rendered] = []
        for place, message in enumerate(messages, 1):
            if message.role == "assistant" and message.counts:
                ended = place == len(messages)
                turns.append(
                    self._turn(messages[:place], whole if ended else self.whole(messages[:place]))
                )
        if all(whole.startswith(text[:end]) for text, [(_, end)] in turns):
            return [Rendered(whole, [span for _, spans in turns for span in spans])]
        self.unrolled += 1
        return turns

    def _turn(self, messages: Sequence[Message], text: str) -> Rendered:
        """The conversation up to an answer, which is this text, and the answer's span."""
        before = self._compiled.render(messages[:-1], generation_prompt=True)
        if not text.startswith(before):
            raise RowInvalid(
                "the model's chat template does not continue its own generation prompt, so the answers can't be"
                " told from the rest; use a template with {% generation %} marks"
            )
        return Rendered(text, [(len(before), self._end(text, messages))])

    def _end(self, text: str, messages: Sequence[Message]) -> int:
        """Where the answer that ends the conversation ends: after the first control token behind it."""
        roles = tuple(message.role for message in messages)
        tail = self._tails.get(roles)
        if tail is None or not text.endswith(tail):
            # What the template writes behind an answer, told by one that can't be taken for anything else.
            probe = Message(role="assistant", content=_PROBE)
            tail = self.whole([*messages[:-1], probe]).rpartition(_PROBE)[2]
            if len(self._tails) >= _TAILS_KEPT:
                self._tails.clear()
            self._tails[roles] = tail
        if not text.endswith(tail):
            return len(text)
        control = self._control.search(text, len(text) - len(tail))
        return control.end() if control else len(text)
