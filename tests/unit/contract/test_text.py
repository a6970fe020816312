from typing import Any, Literal

import pytest
from msgspec import inspect

from tunegate.contract.text import from_text


@pytest.mark.parametrize(
    ("target", "text", "value"),
    [
        (bool, "true", True),
        (bool, "0", False),
        (bool, "maybe", "maybe"),
        (int, "3", 3),
        (int, "3.5", "3.5"),
        (int, "9" * 100, "9" * 100),
        (float, "1e-3", 0.001),
        (str, "3", "3"),
        (int | None, "3", 3),
        (str | None, "3", "3"),
        (Literal["a", "b"], "a", "a"),
        (list[str], "a, b", ["a", "b"]),
        (list[str], '["a,b"]', ["a,b"]),
        (list[int], "80,443", [80, 443]),
        (list[int], "80", [80]),
        (list[int], "80,x", [80, "x"]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, int], "a", "a"),
        (Any, "true", True),
        (Any, "words", "words"),
    ],
)
def test_text_becomes_the_value_of_its_type(target: Any, text: str, value: object) -> None:
    assert from_text(inspect.type_info(target), text) == value
