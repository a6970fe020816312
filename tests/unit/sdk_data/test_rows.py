"""Row shapes: every spelling becomes one of four rows; what is wrong is said without the content."""

from typing import Any

import pytest

from tunegate.sdk.data import (
    ChatRow,
    CompletionRow,
    Message,
    PreferenceRow,
    RowInvalid,
    TextRow,
    normalise,
)

USER = {"role": "user", "content": "hi"}
ASSISTANT = {"role": "assistant", "content": "hello"}
CHAT = ChatRow(
    messages=[Message(role="user", content="hi"), Message(role="assistant", content="hello")]
)
ALPACA = "### Instruction:\nAdd.\n\n### Response:\n"
ALPACA_INPUT = "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n"


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ({"text": "a"}, TextRow(text="a")),
        ({"text": "a", "label": 3, "messages": None}, TextRow(text="a")),
        ({"prompt": "a", "completion": "b"}, CompletionRow(prompt="a", completion="b")),
        ({"prompt": "a", "response": "b", "text": "a b"}, CompletionRow(prompt="a", completion="b")),
        ({"prompt": "a", "output": "b"}, CompletionRow(prompt="a", completion="b")),
        ({"input": "a", "output": "b"}, CompletionRow(prompt="a", completion="b")),
        ({"question": "a?", "answer": "b"}, CompletionRow(prompt="a?\n", completion="b")),
        ({"question": "a?", "context": "c", "answer": "b"}, CompletionRow(prompt="c\n\na?\n", completion="b")),
        ({"instruction": "Add.", "output": "3"}, CompletionRow(prompt=ALPACA, completion="3")),
        ({"instruction": "Add.", "input": "", "output": "3"}, CompletionRow(prompt=ALPACA, completion="3")),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, CompletionRow(prompt=ALPACA_INPUT, completion="3")),
        ({"instruction": "Add.", "context": "1 2", "response": "3"}, CompletionRow(prompt=ALPACA_INPUT, completion="3")),
        ({"messages": [USER, ASSISTANT]}, CHAT),
        ({"prompt": "hi", "messages": [USER, ASSISTANT]}, CHAT),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, CHAT),
        ({"conversations": [USER, ASSISTANT]}, CHAT),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}, ASSISTANT]},
            CHAT,
        ),
        (
            {"system": "Be kind.", "conversations": [USER, ASSISTANT]},
            ChatRow(messages=[Message(role="system", content="Be kind."), *CHAT.messages]),
        ),
        (
            {"prompt": [USER, ASSISTANT, USER], "completion": [ASSISTANT]},
            ChatRow(
                messages=[
                    Message(role="user", content="hi", counts=False),
                    Message(role="assistant", content="hello", counts=False),
                    Message(role="user", content="hi", counts=False),
                    Message(role="assistant", content="hello"),
                ]
            ),
        ),
        (
            {"messages": [USER, {**ASSISTANT, "weight": 0}, USER, {**ASSISTANT, "weight": 1}]},
            ChatRow(
                messages=[
                    CHAT.messages[0],
                    Message(role="assistant", content="hello", counts=False),
                    *CHAT.messages,
                ]
            ),
        ),
    ],
)  # fmt: skip
def test_shapes(value: dict[str, Any], row: TextRow | CompletionRow | ChatRow) -> None:
    assert normalise(value) == row


def answers(chosen: str, rejected: str, *context: Message) -> PreferenceRow:
    """A preference of two answers after some messages."""
    return PreferenceRow(
        chosen=ChatRow(messages=[*context, Message(role="assistant", content=chosen)]),
        rejected=ChatRow(messages=[*context, Message(role="assistant", content=rejected)]),
    )


def texts(prompt: str, chosen: str, rejected: str) -> PreferenceRow:
    return PreferenceRow(
        chosen=CompletionRow(prompt=prompt, completion=chosen),
        rejected=CompletionRow(prompt=prompt, completion=rejected),
    )


HI = Message(role="user", content="hi", counts=False)
HELLO = Message(role="assistant", content="hello", counts=False)
SYSTEM = Message(role="system", content="Be brief.")
BYE, OFF = {**ASSISTANT, "content": "bye"}, {**ASSISTANT, "content": "be off"}
PAIR = answers("bye", "be off", HI)


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, texts("a", "b", "c")),
        ({"instruction": "Add.", "chosen": "3", "rejected": "4"}, texts(ALPACA, "3", "4")),
        ({"chosen": "Q: a? A: be", "rejected": "Q: a? A: bad"}, texts("Q: a? A: ", "be", "bad")),
        ({"chosen": "yes", "rejected": "no"}, texts("", "yes", "no")),
        ({"prompt": [USER], "chosen": [BYE], "rejected": [OFF]}, PAIR),
        ({"prompt": [USER], "chosen": "bye", "rejected": "be off"}, PAIR),
        ({"prompt": "hi", "chosen": [USER, BYE], "rejected": [USER, OFF], "messages": [USER, BYE]}, PAIR),
        ({"prompt": "hi", "chosen": [BYE], "rejected": [OFF]}, PAIR),
        ({"chosen": [USER, BYE], "rejected": [USER, OFF]}, PAIR),
        ({"system": "Be brief.", "chosen": [USER, BYE], "rejected": [USER, OFF]}, answers("bye", "be off", SYSTEM, HI)),
        (
            {"chosen": [USER, ASSISTANT, USER, BYE], "rejected": [USER, ASSISTANT, USER, OFF]},
            answers("bye", "be off", HI, HELLO, HI),
        ),
    ],
)  # fmt: skip
def test_preferences(value: dict[str, Any], row: PreferenceRow) -> None:
    assert normalise(value) == row


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"text": 3}, "text is a number, not a string"),
        ({"text": " \n"}, "text is empty"),
        ({"text": "a\0b"}, "text holds a NUL or half a surrogate pair"),
        ({"text": "ü\0b"}, "text holds a NUL or half a surrogate pair"),
        ({"text": "a\ud800b"}, "text holds a NUL or half a surrogate pair"),
        ({"prompt": "a", "completion": ""}, "completion is empty"),
        ({"prompt": "", "completion": "a"}, "prompt is empty"),
        ({"prompt": True, "completion": "a"}, "prompt is a boolean, not a string"),
        ({"prompt": [USER], "completion": "a"}, "completion is a string, not a list of messages"),
        ({"instruction": "a", "input": {}, "output": "b"}, "input is an object, not a string"),
        ({"messages": "c4n4ry"}, "messages is a string, not a list of messages"),
        ({"messages": []}, "messages is empty"),
        ({"messages": ["c4n4ry"]}, "messages[0] is a string, not an object"),
        ({"messages": [{"content": "c4n4ry"}]}, "messages[0] has no role"),
        ({"messages": [USER]}, "the last message is not the assistant's, so its answer is missing"),
        ({"messages": [USER, {"role": "assistant"}]}, "messages[1] has no content"),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "messages[1].content is empty"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0.5}]}, "messages[1].weight is neither 0 nor 1"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0}]}, "no message of the assistant counts"),
        ({"messages": [USER, {**ASSISTANT, "tool_calls": [{}]}]}, "messages[1] has tool_calls, which can't be trained on yet"),
        ({"messages": [USER, ASSISTANT], "tools": [{}]}, "the row has tools, which can't be trained on yet"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0] is not a text part"),
        ({"prompt": "a", "chosen": "b"}, "the keys (prompt, chosen) fit no known shape"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
        ({"chosen": "a b ", "rejected": "a b c"}, "nothing of chosen is left after what both have in common"),
        ({"prompt": "a", "chosen": "b", "rejected": 3}, "rejected is a number, not a string"),
        ({"prompt": "a", "chosen": [ASSISTANT], "rejected": [ASSISTANT, USER]}, "nothing of chosen is left"),
        ({"chosen": [USER, ASSISTANT], "rejected": [USER, USER]}, "nothing of rejected is left"),
        ({"chosen": [USER, {**ASSISTANT, "content": "x"}, USER], "rejected": [USER, ASSISTANT]}, "the last message of chosen is not"),
        ({}, "the keys (none) fit no known shape"),
        ({"a secret <sentence> as a key": 1}, "the keys (1 more) fit no known shape"),
    ],
)  # fmt: skip
def test_reasons(value: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowInvalid) as caught:
        normalise(value)
    assert str(caught.value).startswith(reason)
    assert "c4n4ry" not in str(caught.value)


def test_an_unknown_role_lists_the_known_ones() -> None:
    with pytest.raises(RowInvalid) as caught:
        normalise({"messages": [{"role": "c4n4ry", "content": "x"}]})
    assert str(caught.value).startswith(
        "messages[0] has an unknown role; known: system, developer, user,"
    )


def test_with_all_a_chat_may_end_with_the_user() -> None:
    assert normalise({"messages": [USER]}, train_on="all") == ChatRow(messages=CHAT.messages[:1])


def test_the_keys_shown_are_few_and_short() -> None:
    with pytest.raises(RowInvalid, match=r"\(k0, .*, k11, 988 more\)"):
        normalise({f"k{place}": 1 for place in range(1000)})
