import json
from pathlib import Path

import pytest

from tunegate.cli import main
from tunegate.commands.token import seconds

Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("TUNEGATE_URL", raising=False)


def listed(capsys: Printed) -> list[dict[str, object]]:
    assert main(["token", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def test_a_token_is_shown_once_and_then_listed_without_its_secret(capsys: Printed) -> None:
    arguments = ["acme", "--label", "Ann", "--read-only", "--uri-prefix", "s3://a/", "--uri-prefix", "s3://b/"]  # fmt: skip
    assert main(["token", "create", *arguments, "--max-gpus", "4", "--expires-in", "90d"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("tg_")
    [token] = listed(capsys)
    assert (token["tenant"], token["label"], token["max_gpus"]) == ("acme", "Ann", 4)
    assert token["uri_prefixes"] == ["s3://a/", "s3://b/"]
    assert main(["token", "list", "--tenant", "acme"]) == 0
    table = capsys.readouterr().out
    assert "Ann" in table
    assert "read" in table
    assert secret not in table


def test_rotate_and_revoke(capsys: Printed) -> None:
    main(["token", "create", "acme"])
    old = capsys.readouterr().out.strip().split("_")[1]
    assert main(["token", "rotate", old, "--overlap", "0"]) == 0
    new = capsys.readouterr().out.strip().split("_")[1]
    assert main(["token", "revoke", new]) == 0
    capsys.readouterr()
    assert [token["usable"] for token in listed(capsys)] == [False, False]
    assert main(["token", "revoke", "nobody"]) == 1
    assert "token_not_found" in capsys.readouterr().err


def test_a_wrong_wish_is_refused_in_words(capsys: Printed) -> None:
    assert main(["token", "create", "acme", "--max-gpus", "-1"]) == 1
    assert "$.max_gpus" in capsys.readouterr().err


def test_a_gateway_that_is_not_there(capsys: Printed) -> None:
    assert main(["token", "--url", "http://127.0.0.1:1", "list"]) == 1
    assert "refused" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "expected"), [("90d", 7_776_000), ("12h", 43_200), ("1.5m", 90), ("7", 7)])  # fmt: skip
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected
