"""Spans that count, for templates of every kind; every expectation is written out by hand."""

import copy
from collections.abc import Callable

import pytest
from transformers import PreTrainedTokenizerFast

from tunegate.sdk.data import Message, RowInvalid
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.render import Renderer
from tunegate.trainer.data.template import DEFAULT_TEMPLATE, ChatTemplate, Rendered
from tunegate.trainer.tiny import CHATML

UNMARKED = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    + UNMARKED
)
INST = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + ' ' + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
DROPS_THOUGHTS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ message['content'].split('</think>')[-1] }}"
    "{% else %}{{ message['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MOVES_THOUGHTS = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% set parts = message['content'].split('</think>') %}"
    "{% if loop.last %}{{ '<think>\n' + (parts[0] if parts|length > 1 else '') + '\n</think>\n\n' }}{% endif %}"
    "{{ parts[-1] }}{% else %}{{ message['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDS_TWICE = UNMARKED + "{% if not add_generation_prompt %}{{ '<|pad|>' }}{% endif %}"
FORCES_THOUGHT = UNMARKED.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n<think>\n'")

SYSTEM = Message(role="system", content="Be brief.")
ASK = Message(role="user", content="hi")
SAY = Message(role="assistant", content="hello")
AGAIN = Message(role="user", content="bye")
END = Message(role="assistant", content="ciao")

With = Callable[[str], ChatTemplate]


@pytest.fixture
def with_template(byte_tokenizer: PreTrainedTokenizerFast) -> With:
    def make(source: str) -> ChatTemplate:
        tokenizer = copy.deepcopy(byte_tokenizer)
        tokenizer.chat_template = source
        return ChatTemplate(tokenizer)

    return make


def counted(example: Rendered) -> list[str]:
    return [example.text[start:end] for start, end in example.spans]


@pytest.mark.parametrize("source", [CHATML, UNMARKED, DEFAULT_TEMPLATE])
def test_chatml_counts_answers_and_their_end(with_template: With, source: str) -> None:
    [example] = with_template(source).examples([SYSTEM, ASK, SAY, AGAIN, END])
    assert example.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\nhello<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\nciao<|im_end|>\n"
    )
    assert example.spans == [(91, 106), (160, 174)]
    assert counted(example) == ["hello<|im_end|>", "ciao<|im_end|>"]


@pytest.mark.parametrize("source", [CHATML, UNMARKED])
def test_an_answer_that_does_not_count_is_left_out(with_template: With, source: str) -> None:
    context = Message(role="assistant", content="hello", counts=False)
    [example] = with_template(source).examples([ASK, context, AGAIN, END])
    assert counted(example) == ["ciao<|im_end|>"]


def test_a_default_system_prompt_does_not_count(with_template: With) -> None:
    [example] = with_template(DEFAULT_SYSTEM).examples([ASK, SAY])
    assert example.text.startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n")
    assert counted(example) == ["hello<|im_end|>"]


def test_equal_words_in_a_question_do_not_count(with_template: With) -> None:
    [example] = with_template(UNMARKED).examples([Message(role="user", content="hello"), SAY])
    assert counted(example) == ["hello<|im_end|>"]
    assert example.spans[0][0] == example.text.rindex("hello")


def test_control_tokens_inside_an_answer_do_not_end_it(with_template: With) -> None:
    tricky = Message(role="assistant", content="use <|im_end|> here")
    [example] = with_template(UNMARKED).examples([ASK, tricky])
    assert counted(example) == ["use <|im_end|> here<|im_end|>"]


@pytest.mark.parametrize("answer", ["h", "end", "hm</think>hello", "<|im_end|>", "\n"])
def test_answers_that_the_template_moves_about(
    byte_tokenizer: PreTrainedTokenizerFast, answer: str
) -> None:
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = MOVES_THOUGHTS
    message = Message(role="assistant", content=answer)
    thought, _, said = answer.rpartition("</think>")
    [example] = ChatTemplate(tokenizer).examples([ASK, message])
    assert counted(example) == [f"<think>\n{thought}\n</think>\n\n{said}<|im_end|>"]
    first, second = ChatTemplate(tokenizer).examples([ASK, message, AGAIN, END])
    assert counted(first) == counted(example)
    assert counted(second) == ["<think>\n\n</think>\n\nciao<|im_end|>"]


def test_a_second_end_token_after_the_conversation_does_not_count(with_template: With) -> None:
    [example] = with_template(ENDS_TWICE).examples([ASK, SAY, AGAIN, END])
    assert example.text.endswith("ciao<|im_end|>\n<|pad|>")
    assert counted(example) == ["hello<|im_end|>", "ciao<|im_end|>"]


def test_inst(metaspace_tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = copy.deepcopy(metaspace_tokenizer)
    tokenizer.chat_template = INST
    [example] = ChatTemplate(tokenizer).examples([ASK, SAY, AGAIN, END])
    assert example.text == "<s>[INST] hi [/INST] hello </s>[INST] bye [/INST] ciao </s>"
    assert counted(example) == [" hello </s>", " ciao </s>"]


def test_a_template_that_rewrites_history_is_taken_apart(with_template: With) -> None:
    template = with_template(DROPS_THOUGHTS)
    thought = Message(role="assistant", content="hm</think>hello")
    first, second = template.examples([ASK, thought, AGAIN, END])
    assert (
        first.text
        == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhm</think>hello<|im_end|>\n"
    )
    assert counted(first) == ["hm</think>hello<|im_end|>"]
    assert "hm</think>" not in second.text
    assert counted(second) == ["ciao<|im_end|>"]
    assert template.unrolled == 1
    assert len(template.examples([ASK, SAY, AGAIN, END])) == 1


def test_a_generation_prompt_that_is_not_continued_is_refused(with_template: With) -> None:
    with pytest.raises(RowInvalid, match="does not continue its own generation prompt"):
        with_template(FORCES_THOUGHT).examples([ASK, SAY])


def test_what_the_template_says_is_passed_on_but_no_content(with_template: With) -> None:
    with pytest.raises(RowInvalid) as caught:
        with_template(INST).examples([SYSTEM, ASK, SAY])
    assert str(caught.value) == (
        "the model's chat template refuses the messages: Only user and assistant roles are supported!"
    )
    with pytest.raises(RowInvalid) as caught:
        with_template("{{ raise_exception(messages[0]['content']) }}").examples([ASK, SAY])
    assert str(caught.value) == "the model's chat template refuses the messages"


def test_a_template_that_is_none_is_the_models_fault(with_template: With) -> None:
    with pytest.raises(TunegateError, match=r"no valid template \(its line 2\)") as caught:
        with_template("{% if messages %}\n{{ messages[0 }}").examples([ASK, SAY])
    assert caught.value.code == "model_invalid"


@pytest.mark.parametrize(
    "source", ["{% for i in range(10 ** 9) %}x{% endfor %}", "{{ 1 // 0 }}", "{{ messages.x.y }}"]
)
def test_whatever_a_template_does_the_row_is_refused(with_template: With, source: str) -> None:
    with pytest.raises(RowInvalid, match="refuses the messages"):
        with_template(source).examples([ASK, SAY])


def test_marks_that_miss_an_answer_are_refused(with_template: With) -> None:
    template = with_template("{% generation %}{{ messages[-1]['content'] }}{% endgeneration %}")
    assert counted(template.examples([ASK, SAY, AGAIN, END])[0]) == ["ciao"]
    with pytest.raises(RowInvalid, match="does not mark every answer"):
        template.examples([ASK, SAY, AGAIN, Message(role="assistant", content="x", counts=False)])
    with pytest.raises(RowInvalid, match="does not mark every answer"):
        with_template("{% if 0 %}{% generation %}{% endgeneration %}{% endif %}x").examples(
            [ASK, SAY]
        )


def test_marks_at_the_wrong_place_are_refused(with_template: With) -> None:
    macro = "{% macro say(m) %}{{ 'Answer: ' }}{% generation %}{{ m }}{% endgeneration %}{% endmacro %}Q {{ say(messages[1]['content']) }}"
    with pytest.raises(RowInvalid, match="something else than the answers"):
        with_template(macro).examples([ASK, SAY])


@pytest.mark.parametrize(
    ("source", "open_ended"),
    [
        (CHATML, 0),
        (UNMARKED, 0),
        (CHATML.replace(" + '<|im_end|>' }}{% endgeneration %}", " }}{% endgeneration %}<|im_end|>"), 2),
        ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}", 2),
    ],
)  # fmt: skip
def test_answers_without_an_end_are_noticed(
    with_template: With, source: str, open_ended: int
) -> None:
    template = with_template(source)
    template.examples([ASK, SAY, AGAIN, END])
    assert template.open_ended == open_ended


def test_a_tokenizer_without_a_template_is_given_one(
    metaspace_tokenizer: PreTrainedTokenizerFast,
) -> None:
    from tunegate.sdk.data import ChatRow, TextRow

    tokenizer = copy.deepcopy(metaspace_tokenizer)
    renderer = Renderer(tokenizer, "completions")
    renderer.render(TextRow(text="x"))
    assert tokenizer.chat_template is None
    [example] = renderer.render(ChatRow(messages=[ASK, SAY]))
    assert example.text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello</s>\n"
    assert example.text[slice(*(example.spans or [])[0])] == "hello</s>"
    assert tokenizer.chat_template == DEFAULT_TEMPLATE
    assert len(list(renderer.counts.notes())) == 1
