import json

import pytest

from tunegate.contract.secret import Secret
from tunegate.terminal import output

Printed = pytest.CaptureFixture[str]


def test_a_table_in_a_pipe_is_aligned_text(capsys: Printed) -> None:
    output.table(("A", "LONGER"), [("one", "x"), ("", "ok")])
    assert capsys.readouterr().out == "A    LONGER\none  x\n     ok\n"


def test_facts_leave_out_what_is_empty(capsys: Printed) -> None:
    output.facts([("job", "j"), ("nothing", ""), ("status", "ok")])
    assert capsys.readouterr().out == "job     j\nstatus  ok\n"


def test_json_is_one_line_and_hides_secrets(capsys: Printed) -> None:
    output.as_json({"token": Secret("canary")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"token": "***"}
    assert out.count("\n") == 1


def test_texts_of_others_move_no_cursor() -> None:
    assert output.clean("a\x1b[2Jb\tc\nd\x9b31m\r") == "a�[2Jb\tc\nd�31m�"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (234_000_000, "234 MB")]
)
def test_sizes(count: int, text: str) -> None:
    assert output.size(count) == text
