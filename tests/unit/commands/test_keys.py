import json
from pathlib import Path

import pytest

from tunegate.cli import main

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gateway.toml"
    path.write_text(f"state_dir = '{tmp_path}/state'\n")
    return str(path)


def roles(capsys: Printed, config: str) -> list[str]:
    capsys.readouterr()
    assert main(["keys", "status", "--json", "--config", config]) == 0
    return [key["role"] for key in json.loads(capsys.readouterr().out)["keys"]]


def test_a_key_goes_its_way_from_staged_to_old(capsys: Printed, config: str) -> None:
    assert roles(capsys, config) == ["active"]  # made before there is a store
    assert main(["keys", "stage", "--config", config]) == 0
    assert roles(capsys, config) == ["active", "staged"]
    assert main(["keys", "rotate", f"--config={config}"]) == 0
    assert roles(capsys, config) == ["active", "old"]


def test_no_key_is_retired_while_no_store_says_that_nothing_needs_it(
    capsys: Printed, config: str
) -> None:
    assert roles(capsys, config) == ["active"]
    assert main(["keys", "rotate", "--config", config]) == 0
    assert main(["keys", "retire", "--config", config]) == 1
    assert "no job store" in capsys.readouterr().err
    assert roles(capsys, config) == ["active", "old"]
    assert main(["token", "list", "--config", config]) == 0  # makes the store
    assert main(["keys", "--config", config, "retire"]) == 0
    assert roles(capsys, config) == ["active"]


@pytest.mark.parametrize("place", [["--config"], ["status", "--config"]])
def test_an_option_of_the_group_wants_its_value(capsys: Printed, place: list[str]) -> None:
    assert main(["keys", *place]) == 2
    assert "requires an argument" in capsys.readouterr().err


def test_what_follows_two_dashes_is_no_option(capsys: Printed, config: str) -> None:
    assert main(["keys", "--config", config, "retire", "--", "--config"]) == 1
    assert "no job store" in capsys.readouterr().err
