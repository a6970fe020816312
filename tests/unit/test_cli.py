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


HEAVY = {"litestar", "aiohttp", "torch", "transformers", "numpy", "boto3", "apsw", "psycopg", "uvicorn"}  # fmt: skip
REMOTE = [
    *("submit", "jobs", "show", "watch", "logs", "events", "metrics", "artifacts", "checkpoints"),
    *("cancel", "retry", "delete", "backends", "launchers", "login", "logout", "completion"),
]


def imported_by(*arguments: str) -> set[str]:
    code = (
        "import sys; from tunegate.cli import main; main(sys.argv[1:]); "
        "print('\\n', *{name.partition('.')[0] for name in sys.modules})"
    )
    argv = [sys.executable, "-c", code, *arguments]
    seen = subprocess.run(argv, check=True, capture_output=True, text=True)
    return set(seen.stdout.splitlines()[-1].split())


def test_help_needs_click_and_nothing_else() -> None:
    assert not imported_by("--help") & (HEAVY | {"httpx", "rich", "stevedore"})


@pytest.mark.parametrize("command", REMOTE)
def test_commands_that_ask_a_gateway_need_nothing_heavy(command: str) -> None:
    assert not imported_by(command, "--help") & HEAVY


def test_a_gateway_that_is_asked_needs_nothing_heavy() -> None:
    """All that a call imports, not only what its help does."""
    asked = imported_by("jobs", "--url", "http://127.0.0.1:1")
    assert "httpx" in asked
    assert not asked & HEAVY


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sumbit"], "Did you mean 'submit'?"),
        (["jobs", "--status", "nope"], "is not one of"),
        (["jobs", "--metadata", "x"], "write key=value"),
        (["submit"], "Missing argument 'FILE'"),
        (["submit", "/nope.json"], "No such file"),
        (["jobs", "--url", "ftp://x"], "a gateway's address is like"),
        (["retry", "x", "--launcher", "slurm"], "--request FILE"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_TUNEGATE_COMPLETE" in capsys.readouterr().out
