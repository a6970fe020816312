"""`python -m tunegate.sdk.testing.check KIND MODULE:CLASS`: the conformance suite on one plugin, for `tunegate plugin check`.

A process of its own, for a plugin may do anything. A launcher's settings come as JSON on standard input; one verdict per
line goes to standard output.
"""

import os
import sys
import tempfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import pytest

from tunegate.contract.base import Wire
from tunegate.contract.container import ResourceRequest
from tunegate.sdk.backend import AnyBackend
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import Launcher, LauncherContext

pytest.register_assert_rewrite("tunegate.sdk.testing.backend", "tunegate.sdk.testing.launcher")
from tunegate.sdk.testing.backend import BackendConformance  # noqa: E402  now its assertions say what they saw
from tunegate.sdk.testing.launcher import LauncherConformance, MakeLauncher  # noqa: E402

_TEST = """\
import sys
TestPlugin = sys.modules["__main__"].chosen
"""
_INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""


class Verdict(Wire):
    """One rule: ok, failed or skipped, and why."""

    rule: str
    outcome: str
    reason: str = ""


class Listener:
    """Hears of each test and writes its verdict down."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            rule = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
            outcome = "ok" if report.passed else report.outcome
            self.tell(Verdict(rule=rule, outcome=outcome, reason=_reason(report)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell(Verdict(rule="runs at all", outcome="failed", reason=str(report.longrepr)))

    def tell(self, verdict: Verdict) -> None:
        self._out.write(msgspec.json.encode(verdict) + b"\n")
        self._out.flush()


def suite(kind: str, plugin: Any, settings: bytes) -> type:
    """The suite as a class for pytest. Raises msgspec.ValidationError for settings that do not fit."""
    return _backend_suite(plugin) if kind == "backend" else _launcher_suite(plugin, settings)


def _backend_suite(plugin: type[AnyBackend]) -> type:
    class Suite(BackendConformance):
        @pytest.fixture
        def backend(self) -> AnyBackend:
            return plugin()

    return Suite


def _launcher_suite(plugin: type[Launcher], given: bytes) -> type:
    settings = msgspec.json.decode(given, type=plugin.settings_type)

    class Suite(LauncherConformance):
        # What fills an engine is not known of any: of this machine, all CPUs.
        whole = ResourceRequest(gpus=0, cpus=max(2, os.cpu_count() or 1), memory_bytes=2**20)

        @pytest.fixture
        def make_launcher(self, tmp_path: Path) -> MakeLauncher:
            context = LauncherContext(state_dir=str(tmp_path), clock=SystemClock())
            return lambda: plugin(settings, context)

    return Suite


def _reason(report: pytest.TestReport) -> str:
    """The sentence of the assertion or of the exception; where it was raised does not matter to a reader."""
    told = report.longrepr
    if report.passed or told is None:
        return ""
    if isinstance(told, tuple):
        return str(cast("tuple[Any, ...]", told)[-1]).removeprefix("Skipped: ")
    crash = getattr(told, "reprcrash", None)
    words = str(crash.message if crash is not None else told)
    return words.removeprefix("AssertionError: ").partition("\nassert ")[0].strip()


chosen: type = object
"""What pytest is to run."""


def main(kind: str, value: str) -> int:
    """0: the suite ran, whatever it found."""
    global chosen  # noqa: PLW0603  pytest asks modules for classes
    listener = Listener(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever else is printed
    try:
        plugin = EntryPoint("plugin", value, "").load()
        chosen = suite(kind, plugin, sys.stdin.buffer.read())
    except Exception as error:  # noqa: BLE001  whatever a plugin does wrong is its verdict
        reason = f"{type(error).__name__}: {error}"
        listener.tell(Verdict(rule="can be made", outcome="failed", reason=reason))
        return 0
    with tempfile.TemporaryDirectory(prefix="tunegate-check-") as folder:
        test, ini = Path(folder) / "test_plugin.py", Path(folder) / "pytest.ini"
        test.write_text(_TEST)
        ini.write_text(_INI)
        quiet = ("-p", "no:cacheprovider", "-p", "no:terminal", f"--rootdir={folder}")
        ended = pytest.main([str(test), "-c", str(ini), *quiet], plugins=[listener])
    return 0 if ended in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} else int(ended)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
