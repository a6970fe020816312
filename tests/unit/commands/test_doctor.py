import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tunegate.cli import main
from tunegate.doctor import installation, trainer

Seen = dict[str, tuple[str, str, str]]
Doctor = Callable[..., tuple[int, Seen]]
WHOLE = {"missing": [], "torch": {"version": "2.13.0", "gpus": 0}}


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Exit code, and by area and subject the state, detail and advice."""
    for name in ("TUNEGATE_URL", "TUNEGATE_TOKEN", "TUNEGATE_CONFIG", "TRAINER_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(trainer, "_ask", lambda _: WHOLE)

    def seen(config: str = "", *arguments: str) -> tuple[int, Seen]:
        file = tmp_path / "gateway.toml"
        file.write_text(f'state_dir = "{tmp_path / "state"}"\n{config}')
        code = main(["doctor", "--json", "--config", str(file), *arguments])
        found = json.loads(capsys.readouterr().out.splitlines()[-1])["findings"]
        return code, {f"{one['area']}/{one['subject']}": (one["state"], one["detail"], one["advice"]) for one in found}  # fmt: skip

    return seen


def test_a_healthy_machine(doctor: Doctor, tmp_path: Path) -> None:
    code, seen = doctor("[launchers.local]\ncpu_fallback = true\n")
    assert code == 0, seen
    assert {state for state, _, _ in seen.values()} == {"ok"}, seen
    assert not (tmp_path / "state").exists(), "it looks and changes nothing"


def test_every_trouble_has_advice(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, seen = doctor(
            'control.default_launcher = "slurm"\nplugins.allowed_distributions = ["tunegate"]\n'
            f"[server]\nport = {port}\n"
        )
    assert code == 1
    assert all(advice for state, _, advice in seen.values() if state != "ok")
    assert seen["gateway/state"][0] == "trouble"
    assert seen["gateway/backends"] == (
        "trouble",
        "none is installed",
        "pip install tunegate-huggingface-lora tunegate-qlora tunegate-full-finetune",
    )
    assert "add 'tunegate-echo' to plugins.allowed_distributions" in seen["gateway/backend echo"][2]
    assert "[launchers.slurm]" in seen["gateway/launchers"][2]
    assert "something listens" in seen["gateway/address"][1]


def test_settings_that_can_not_be_used(doctor: Doctor) -> None:
    code, seen = doctor("nonsense = 1\n")
    assert code == 1
    assert "nonsense" in seen["gateway/settings"][1]


def test_keys_and_store(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path / "state"))
    assert main(["db", "migrate", "--to", "1"]) == 0
    key = tmp_path / "state" / "tunegate.key"
    key.write_text("no key ring")
    key.chmod(0o644)
    code, seen = doctor()
    assert code == 1
    assert seen["gateway/keys"][0] == "trouble"
    assert seen["gateway/store"][0] == "trouble"
    assert "migrate" in seen["gateway/store"][1]


def test_a_gateway_that_is_named_and_not_there(doctor: Doctor) -> None:
    code, seen = doctor("", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert seen["client/gateway"][0] == "trouble"
    code, seen = doctor("", "--url", "ftp://x")
    assert seen["client/address"][0] == "trouble"


def test_the_trainer_and_its_gpus(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    code, seen = doctor()
    assert code == 0
    assert "cpu_fallback" in seen["training here/GPUs"][2]
    _, seen = doctor("[launchers.local]\ngpus = 2\n")
    assert seen["training here/GPUs"][:2] == ("trouble", "the machine has 2, torch sees 0")
    monkeypatch.setattr(trainer, "_ask", lambda _: {"missing": ["peft"], "torch": None})
    assert "tunegate[trainer]" in doctor()[1]["training here/trainer"][2]
    monkeypatch.undo()
    code, seen = doctor('[launchers.local]\npython = "/no/python"\n')
    assert code == 1
    assert "No such file" in seen["training here/python"][1]


def test_half_an_installation(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    there = installation.find_spec
    monkeypatch.setattr(installation, "find_spec", lambda name: None if name in {"peft", "apsw"} else there(name))  # fmt: skip
    code, seen = doctor()
    assert code == 1
    assert "peft missing" in seen["installation/trainer"][1]
    assert "gateway/settings" not in seen, "what is not whole is not asked"


@pytest.mark.slow
def test_people_read_it(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.setenv("TUNEGATE_STATE_DIR", str(tmp_path / "state"))
    main(["doctor"])
    out = capfd.readouterr().out
    assert "ok      trainer: torch" in out
    assert out.index("installation") < out.index("gateway") < out.index("training here")
