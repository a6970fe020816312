"""`tunegate plugin`: what is written, and what is said of plugins that break rules."""

import ast
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tunegate.cli import main
from tunegate.commands import plugin as command
from tunegate.scaffold import Kind, new_plugin

Printed = pytest.CaptureFixture[str]


def lines_of_ones_own(source: str) -> int:
    """Without blank lines, imports and docstrings."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and number not in skipped
        for number, line in enumerate(source.splitlines(), 1)
    )


@pytest.mark.parametrize("kind", ["backend", "launcher"])
def test_a_new_plugin_is_short_and_whole(kind: Kind) -> None:
    files = {str(path): text for path, text in new_plugin(kind, "my-method").items()}
    assert {"pyproject.toml", "README.md", ".gitignore", "tests/test_tunegate_my_method.py"} <= files.keys()  # fmt: skip
    code = [text for path, text in files.items() if path.startswith("src/")]
    assert sum(map(lines_of_ones_own, code)) <= 40
    assert not [path for path, text in files.items() if "@@" in path + text]


def test_new_writes_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugin", "new", "shout", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all((tmp_path / told["folder"] / file).is_file() for file in told["files"])
    assert main(["plugin", "new", "shout"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert main(["plugin", "new", "echo"]) == 1
    assert "installed already: tunegate-echo" in capsys.readouterr().err
    assert main(["plugin", "new", "Not_A_Name"]) == 2
    assert not (tmp_path / "tunegate-Not_A_Name").exists()


BROKEN = """
from pathlib import Path
from tunegate.contract.container import ContainerSpec
from tunegate.sdk.backend import Review
from tunegate_echo.backend import EchoBackend


class Leaky(EchoBackend):
    name = "leaky"

    def review(self, job, options, context):
        return Review()

    def build(self, job, options, context):
        Path(__file__).read_bytes()
        spec = super().build(job, options, context)
        token = job.base_model.auth_token
        return ContainerSpec(image=spec.image, command=["x", token.reveal() if token else ""], resources=spec.resources)


class FromTheFuture(EchoBackend):
    name = "future"
    api_version = 2


class Deadly(EchoBackend):
    name = "deadly"

    def review(self, job, options, context):
        import os
        os._exit(3)
"""


@pytest.mark.slow
def test_broken_rules_are_told_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    (tmp_path / "broken_plugins.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    classes = {"leaky": "Leaky", "future": "FromTheFuture", "deadly": "Deadly", "gone": "NoSuch"}
    entries = [EntryPoint(name, f"broken_plugins:{value}", "tunegate.backends") for name, value in classes.items()]  # fmt: skip
    monkeypatch.setattr(command, "entry_points", lambda group: entries if "backends" in group else [])  # fmt: skip
    assert main(["plugin", "check", "--json"]) == 1
    told = {
        each["name"]: {verdict["rule"]: (verdict["outcome"], verdict["reason"]) for verdict in each["verdicts"]}
        for each in json.loads(capsys.readouterr().out)["plugins"]
    }  # fmt: skip
    assert "a pure function did open" in told["leaky"]["is pure"][1]
    assert told["leaky"]["hides secrets"] == ("failed", "a secret of the request shows")
    assert "is neither honoured nor reported" in told["leaky"]["drops no field silently"][1]
    assert told["leaky"]["refuses unknown options"] == ("ok", "")
    assert "upgrade tunegate" in told["future"]["says who it is"][1]
    assert told["deadly"]["says who it is"] == ("ok", "")
    assert "its process ended with 3" in told["deadly"]["lets the suite end"][1]
    assert "NoSuch" in told["gone"]["can be made"][1]


def test_nothing_to_check(capsys: Printed) -> None:
    assert main(["plugin", "check", "nobody"]) == 1
    assert "the package nobody is not installed" in capsys.readouterr().err
