"""A chat template compiled once and rendered many times, in the very environment that transformers renders it in."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tunegate.sdk.data import Message, RowInvalid
from tunegate.sdk.errors import TunegateError

Span = tuple[int, int]
"""Characters [start, end) of a rendered text."""


class CompiledTemplate:
    """One template and the special tokens that it may name.

    What `render_jinja_template` of transformers does around the template is done once here, not for every chat: our
    messages are plain strings already. That halves the time of a chat.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._source = source
        self._known: dict[str, Any] = {"tools": None, "documents": None, **special_tokens}
        self._compiled: Any = None

    def render(self, messages: Sequence[Message], *, generation_prompt: bool = False) -> str:
        """The conversation as text. Raises RowInvalid, TunegateError model_invalid."""
        with self._failures():
            values = self._values(messages, generation_prompt=generation_prompt)
            return self._template().render(values)

    def render_marked(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        """The conversation and what stands between its generation marks. Raises as `render` does."""
        blocks: list[str] = []
        marks: list[Span] = []
        with self._failures():
            template = self._template()
            # The tracker reads the blocks so far while the next one is made.
            with template.environment.activate_tracker(blocks, marks):
                for block in template.generate(self._values(messages, generation_prompt=False)):
                    blocks.append(block)  # noqa: PERF402
        return "".join(blocks), marks

    def _values(self, messages: Sequence[Message], *, generation_prompt: bool) -> dict[str, Any]:
        # Fresh dicts every time: a template may not change them, but nothing should hang on that.
        chat = [{"role": message.role, "content": message.content} for message in messages]
        return {**self._known, "messages": chat, "add_generation_prompt": generation_prompt}

    def _template(self) -> Any:
        if self._compiled is None:
            from transformers.utils import chat_template_utils

            self._compiled = chat_template_utils._compile_jinja_template(self._source)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            # Every render walks through them, and jinja's own chain of mappings is slow at that.
            self._compiled.globals = dict(self._compiled.globals)
        return self._compiled

    @contextmanager
    def _failures(self) -> Generator[None]:
        from jinja2 import TemplateError, TemplateSyntaxError

        try:
            yield
        except TemplateSyntaxError as error:
            sentence = f"The model's chat template is no valid template (its line {error.lineno})."
            raise TunegateError("model_invalid", sentence) from error
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
        ) as error:
            # A message that stands in the template itself can't hold the row's content.
            said = f": {error}" if str(error) and str(error) in self._source else ""
            raise RowInvalid(f"the model's chat template refuses the messages{said}") from error
