import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tunegate.terminal import request_file
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"job_id": "a", "datasets": [{"source": "s3://b/x"}]}))
    return str(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("job_id=b", {"job_id": "b"}),
        ("job_id=8", {"job_id": 8}),
        ('job_id="8"', {"job_id": "8"}),
        ("customization.rank=8", {"customization": {"rank": 8}}),
        ("customization.target_modules=[\"q\"]", {"customization": {"target_modules": ["q"]}}),
        ("resources.nothing=null", {"resources": {"nothing": None}}),
        ("datasets[0].source=s3://c/y?a=b", {"datasets": [{"source": "s3://c/y?a=b"}]}),
        ("datasets[1].source=z", {"datasets": [{"source": "s3://b/x"}, {"source": "z"}]}),
        ("metadata.tags[0]=x", {"metadata": {"tags": ["x"]}}),
    ],
)  # fmt: skip
def test_values_are_set_where_the_path_leads(
    file: str, change: str, expected: dict[str, Any]
) -> None:
    body = request_file.read(file, (change,))
    assert {name: body[name] for name in expected} == expected
    assert len(body) == len({"job_id", "datasets", *expected})


def test_later_changes_win_and_build_on_earlier_ones(file: str) -> None:
    body = request_file.read(file, ("a.b=1", "a.c=2", "a.b=3"))
    assert body["a"] == {"b": 3, "c": 2}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("job_id", "write path=value"),
        ("=1", "write path=value"),
        ("a..b=1", "a path is like datasets[0].source"),
        ("a[x]=1", "a path is like datasets[0].source"),
        ("datasets[7].source=x", "no list with room for [7]"),
        ("job_id[0]=x", "no list with room for [0]"),
        ("job_id.x=1", "x would stand in something that is no object"),
        ("datasets.source=1", "source would stand in something that is no object"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(file: str, change: str, said: str) -> None:
    with pytest.raises(Failure, match=r"^--set ") as refused:
        request_file.read(file, (change,))
    assert said in str(refused.value)
    assert refused.value.code is ExitCode.USAGE


@pytest.mark.parametrize(("content", "said"), [("{", "is not JSON"), ("[]", "no JSON object")])
def test_what_is_no_request_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(Failure, match=said):
        request_file.read(str(tmp_path / "x"))
    with pytest.raises(Failure, match="No such file"):
        request_file.read(str(tmp_path / "y"))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"job_id": "piped"}')))
    assert request_file.read("-")["job_id"] == "piped"
