"""The lint rule that keeps `tunegate.egress` the one way out: it is on, and it sees what is planted."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BANNED = sorted(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"][
        "flake8-tidy-imports"
    ]["banned-api"]
)
GUARDED = (
    "src/tunegate/egress/",
    "src/tunegate/trainer/distributed/peers.py",
)
BARE_CALLS = frozenset(
    {"connect_ex", "create_connection", "create_datagram_endpoint", "open_connection"}
    | {"sendto", "sock_connect", "urlopen"}
)
"""Methods that dial, which a rule about imports can't see."""


def ruff(where: str, source: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename"]
    return subprocess.run(
        [*command, where, "-"], input=source, capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout


@pytest.mark.parametrize("name", BANNED)
def test_a_planted_way_out_is_seen(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    source = f"from {module} import {attribute}\n" if module else f"import {name}\n"
    for room in ("control", "http", "launchers", "trainer", "storage", "sdk"):
        assert "TID251" in ruff(f"src/tunegate/{room}/planted.py", source)
    assert "TID251" not in ruff("src/tunegate/egress/planted.py", source)


@pytest.mark.parametrize(
    "source",
    [
        "import aiohttp\nsession = aiohttp.ClientSession()\n",
        "def later():\n    import httpx\n    return httpx.get('https://example.com')\n",
        "import socket as s\ns.create_connection(('10.0.0.1', 80))\n",
        "import urllib.request\n",
        "from urllib import request\n",
    ],
)
def test_other_spellings_are_seen_too(source: str) -> None:
    assert "TID251" in ruff("src/tunegate/control/planted.py", source)


def dialling_calls(source: str) -> list[str]:
    """Names of methods that dial, called anywhere in the source."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f.attr for f in calls if isinstance(f, ast.Attribute) and f.attr in BARE_CALLS]


def test_nothing_dials_with_bare_sockets() -> None:
    assert dialling_calls("await loop.create_connection(P, 'h', 1)") == ["create_connection"]
    found = {
        str(path.relative_to(ROOT)): calls
        for path in (ROOT / "src").rglob("*.py")
        if (calls := dialling_calls(path.read_text()))
    }
    assert [
        path for path in found if not path.startswith((*GUARDED, "src/tunegate/sdk/testing/"))
    ] == []
