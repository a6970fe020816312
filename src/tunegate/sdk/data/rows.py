"""One row in any known shape becomes one of four: text, prompt and completion, chat, or a preference of two answers.

| Keys of the row | Becomes |
| --- | --- |
| `chosen` and `rejected`, both texts, perhaps a prompt | preference of two completions of the prompt |
| `chosen` and `rejected`, one or both lists of messages, perhaps a prompt | preference of two chats; what they begin with is context |
| `messages`: `[{role, content}]` | chat |
| `conversations`: `[{from, value}]` or `[{role, content}]` | chat |
| `prompt` and an answer, both lists of messages | chat; only the answer's assistant turns count |
| `prompt` (or `input`) and an answer | prompt and completion, joined as they are |
| `question`, perhaps `context`, and an answer | prompt = context, an empty line, question and a line break |
| `instruction`, perhaps `input` or `context`, and an answer | prompt = the three under `### Instruction:`, `### Input:`, `### Response:` |
| `text` | text |

An answer is the first of `completion`, `response`, `output`, `answer` that the row has. The first shape that fits
is taken; other keys are passed over, null means absent. A chat may have its system prompt in `system`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tunegate.contract.base import Wire
from tunegate.sdk.data.messages import Message, Role, read_messages
from tunegate.sdk.data.preference import pair_chats, pair_texts
from tunegate.sdk.data.text import RowInvalid, read_text

TrainOn = Literal["completions", "all"]

ANSWERS = ("completion", "response", "output", "answer")
PROMPTS = ("prompt", "question", "instruction", "input")
COLUMNS = frozenset(
    {
        "messages",
        "conversations",
        "system",
        "text",
        "chosen",
        "rejected",
        "context",
        "tools",
        "functions",
        *PROMPTS,
        *ANSWERS,
    }
)
"""All keys that are read; of columnar files only these columns are loaded."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]{0,39}")
_KEYS_SHOWN = 12
_SHAPES = (
    "text; prompt and completion; instruction and output; question and answer; messages; conversations; "
    "prompt, chosen and rejected"
)


class TextRow(Wire, tag_field="kind", tag="text"):
    """Text that counts as a whole."""

    text: str


class CompletionRow(Wire, tag_field="kind", tag="completion"):
    """A prompt and the completion that follows it at once, with nothing in between."""

    prompt: str
    completion: str


class ChatRow(Wire, tag_field="kind", tag="chat"):
    """A conversation, to be rendered by the model's chat template."""

    messages: list[Message]


class PreferenceRow(Wire, tag_field="kind", tag="preference"):
    """Two answers after the same beginning, the better one first; only what differs counts."""

    chosen: CompletionRow | ChatRow
    rejected: CompletionRow | ChatRow


Row = TextRow | CompletionRow | ChatRow | PreferenceRow


def normalise(value: Mapping[str, Any], *, train_on: TrainOn = "completions") -> Row:
    """The row that these keys make. Raises RowInvalid; with "completions" a chat must end with the assistant."""
    present = {key: item for key, item in value.items() if item is not None}
    if present.get("tools") or present.get("functions"):
        raise RowInvalid("the row has tools, which can't be trained on yet")
    if "chosen" in present and "rejected" in present:
        return _preference(present)
    for key in ("messages", "conversations"):
        if key in present:
            return _chat(present, read_messages(present[key], key), train_on)
    prompt = next((key for key in PROMPTS if key in present), None)
    answer = next((key for key in ANSWERS if key in present), None)
    if prompt and answer:
        if isinstance(present[prompt], list) or isinstance(present[answer], list):
            return _chat(present, _prompted(present, prompt, answer), train_on)
        return CompletionRow(
            prompt=_prompt(present, prompt), completion=read_text(present[answer], answer)
        )
    if "text" in present:
        return TextRow(text=read_text(present["text"], "text"))
    raise RowInvalid(unknown_shape(value))


def unknown_shape(keys: Iterable[str]) -> str:
    """The reason for a row whose keys fit no shape. Keys that don't look like names are counted, not shown."""
    names = list(keys)
    shown = [key for key in names if _PLAIN_KEY.fullmatch(key)][:_KEYS_SHOWN]
    if hidden := len(names) - len(shown):
        shown.append(f"{hidden} more")
    return f"the keys ({', '.join(shown) or 'none'}) fit no known shape: {_SHAPES}"


def _prompt(row: Mapping[str, Any], key: str) -> str:
    text = read_text(row[key], key)
    if key == "question":
        context = _optional(row, "context")
        return f"{context}\n\n{text}\n" if context else f"{text}\n"
    if key == "instruction":
        more = _optional(row, "input") or _optional(row, "context")
        between = f"### Input:\n{more}\n\n" if more else ""
        return f"### Instruction:\n{text}\n\n{between}### Response:\n"
    return text


def _optional(row: Mapping[str, Any], key: str) -> str:
    """The text under a key, "" when there is none or only white space."""
    text = read_text(row.get(key, ""), key, may_be_empty=True)
    return text if text.strip() else ""


def _preference(row: Mapping[str, Any]) -> PreferenceRow:
    key = next((key for key in PROMPTS if key in row), None)
    sides = (row["chosen"], row["rejected"])
    if not any(isinstance(value, list) for value in (*sides, row.get(key or "prompt"))):
        prompt = None if key is None else _prompt(row, key)
        texts = pair_texts(prompt, *map(read_text, sides, ("chosen", "rejected")))
        return PreferenceRow(
            chosen=CompletionRow(prompt=texts.prompt, completion=texts.chosen),
            rejected=CompletionRow(prompt=texts.prompt, completion=texts.rejected),
        )
    context = [] if key is None else _turns(row[key], key, "user")
    chosen, rejected = map(_turns, sides, ("chosen", "rejected"), ("assistant", "assistant"))
    pair = (_with_system(row, messages) for messages in pair_chats(context, chosen, rejected))
    return PreferenceRow(chosen=ChatRow(messages=next(pair)), rejected=ChatRow(messages=next(pair)))


def _turns(value: object, key: str, role: Role) -> list[Message]:
    """Messages, or a text as the only message, of this role."""
    if isinstance(value, str):
        return [Message(role=role, content=read_text(value, key))]
    return read_messages(value, key)


def _prompted(row: Mapping[str, Any], prompt: str, answer: str) -> list[Message]:
    context = [
        Message(role=message.role, content=message.content, counts=False)
        for message in read_messages(row[prompt], prompt)
    ]
    return context + read_messages(row[answer], answer)


def _chat(row: Mapping[str, Any], messages: list[Message], train_on: TrainOn) -> ChatRow:
    messages = _with_system(row, messages)
    if train_on == "completions":
        if messages[-1].role != "assistant":
            raise RowInvalid("the last message is not the assistant's, so its answer is missing")
        if not any(message.role == "assistant" and message.counts for message in messages):
            raise RowInvalid("no message of the assistant counts")
    return ChatRow(messages=messages)


def _with_system(row: Mapping[str, Any], messages: list[Message]) -> list[Message]:
    """The chat with the row's system prompt before it, when it has none of its own."""
    if "system" not in row or messages[0].role == "system":
        return messages
    system = read_text(row["system"], "system", may_be_empty=True)
    return [Message(role="system", content=system), *messages] if system.strip() else messages
