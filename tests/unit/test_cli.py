import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tunegate.cli import COMMANDS, main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tunegate ")


def test_config_prints_toml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["server"]["port"] == 8080


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"tunegate {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "no token is configured"),
        (["--config", "/nope.toml"], "No such file"),
        (["--port", "99999"], "server.port: must be at least 0 and at most 65535"),
    ],
)
def test_serve_refuses_what_it_can_not_use(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.delenv("TRAINER_API_TOKEN", raising=False)
    assert main(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_serve_says_that_a_port_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


def test_the_version_needs_no_heavy_imports() -> None:
    code = "import sys, tunegate.cli; sys.exit(any(m in sys.modules for m in ('litestar', 'aiohttp', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
