"""Discovery: one bad plugin hurts nobody else, and says what is wrong with it."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from stevedore.extension import ExtensionManager

from support.front import (
    PlainBackend,
    QueueLauncher,
    StillClock,
    TrainingBackend,
    discovery,
    extension,
)
from tunegate.contract.problems import Problem
from tunegate.control import plugins
from tunegate.control.plugins import Discovery, discover, without_duplicates
from tunegate.control.registry import BACKENDS, BackendRegistry, LauncherRegistry
from tunegate.sdk.backend import BackendPlugin, NoOptions
from tunegate.sdk.launcher import LauncherContext

CONTEXT = LauncherContext(state_dir="/nowhere", clock=StillClock())


def errors(registry: BackendRegistry | LauncherRegistry) -> dict[str, str | None]:
    return {entry.name: entry.error for entry in registry.installed().data if not entry.loaded}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points whose modules misbehave on import, beside a good one."""
    modules = {
        "bad_import": "import no_such_module",
        "bad_assert": "assert False, 'boom'",
        "bad_exit": "raise SystemExit(3)",
        "bad_attribute": "",
    }
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [EntryPoint(name.replace("_", "-"), f"{name}:Plugin", BACKENDS) for name in modules]
    found.append(EntryPoint("plain", "support.front:PlainBackend", BACKENDS))
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    yield found
    for name in modules:
        sys.modules.pop(name, None)


def test_broken_plugins_are_shown_and_hurt_nobody(broken: list[EntryPoint]) -> None:
    registry = BackendRegistry(discover(BACKENDS))
    assert registry.names() == ["plain"]
    found = errors(registry)
    assert found["bad-import"] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert found["bad-assert"] == "ImportError: AssertionError on import: boom"
    assert found["bad-exit"] == "ImportError: SystemExit on import: 3"
    assert "has no attribute 'Plugin'" in (found["bad-attribute"] or "")
    problem = registry.choose("lora", "custom", "bad-import")
    assert isinstance(problem, Problem)
    assert "is installed, but can't be loaded" in problem.message


def test_the_allow_list_is_asked_before_the_import(broken: list[EntryPoint]) -> None:
    found = discover(BACKENDS, allowed=["nobody"])
    assert found.found == {}
    assert {entry.error for entry in found.refused} == {
        "its distribution is not in plugins.allowed_distributions"
    }


def test_the_installed_plugins_load() -> None:
    registry = BackendRegistry.installed_here(["Tunegate_Echo"])
    assert registry.names() == ["echo"]
    [entry] = [entry for entry in registry.installed().data if entry.loaded]
    assert (entry.distribution, entry.version is not None) == ("tunegate-echo", True)


def test_neither_of_two_claimants_of_a_name_wins() -> None:
    manager = ExtensionManager[Any].make_test_instance(
        [extension(TrainingBackend, "x"), extension(PlainBackend), extension(PlainBackend, "x")]
    )
    registry = BackendRegistry(without_duplicates(manager.extensions))
    assert registry.names() == ["plain"]
    assert registry.get("x") is None
    refused = [entry for entry in registry.installed().data if not entry.loaded]
    assert len(refused) == 2
    assert "is claimed by" in (refused[0].error or "")


def test_plugins_that_do_not_fit_say_why() -> None:
    class FromTheFuture(PlainBackend):
        name = "future"
        api_version = 99

    class Renamed(PlainBackend):
        name = "renamed"

    class Crashing(PlainBackend):
        name = "crashing"

        def __init__(self) -> None:
            raise RuntimeError("no licence")

    found = Discovery(
        found={
            "future": extension(FromTheFuture),
            "other-name": extension(Renamed, "other-name"),
            "crashing": extension(Crashing),
            "launcher": extension(QueueLauncher, "launcher"),
        }
    )
    reasons = errors(BackendRegistry(found))
    assert reasons["future"] == (
        "It was written for plugin API 99 and this gateway speaks 1: upgrade tunegate, or install an older release of the plugin."
    )
    assert "'other-name' and the class 'renamed'" in (reasons["other-name"] or "")
    assert reasons["crashing"] == "RuntimeError: no licence"
    assert "not a subclass" in (reasons["launcher"] or "")


def test_installed_shows_what_a_backend_takes() -> None:
    [entry] = BackendRegistry(discovery(TrainingBackend)).installed().data
    assert entry.loaded
    assert entry.methods == ["lora"]
    assert "container_image" in str(entry.options_schema)


class Another(BackendPlugin[NoOptions]):
    name = "another"
    methods = frozenset({"lora", "peft"})
    providers = frozenset({"huggingface"})
    options_type = NoOptions
    review = PlainBackend.review  # type: ignore[assignment]
    build = PlainBackend.build  # type: ignore[assignment]


class Default(Another):
    name = "default"
    default_for = frozenset({"lora"})


class TestChoice:
    def choose(self, *backends: type[Any], method: str = "lora", **more: Any) -> Any:
        arguments = {"provider": "huggingface", "pinned": None} | more
        return BackendRegistry(discovery(*backends)).choose(method, **arguments)

    def test_the_only_one_that_serves_the_method_is_taken(self) -> None:
        assert self.choose(TrainingBackend, PlainBackend).name == "trainer"

    def test_the_provider_counts_too(self) -> None:
        assert self.choose(TrainingBackend, Another, provider="meta").name == "trainer"

    def test_several_are_named(self) -> None:
        problem = self.choose(TrainingBackend, Another)
        assert (problem.code, problem.path) == ("ambiguous_backend", "$.backend")
        assert "another, trainer" in problem.message

    def test_a_default_wins(self) -> None:
        assert self.choose(TrainingBackend, Another, Default).name == "default"

    def test_a_pinned_one_wins(self) -> None:
        assert self.choose(TrainingBackend, Another, Default, pinned="another").name == "another"

    @pytest.mark.parametrize(
        ("arguments", "path", "words"),
        [
            ({"method": "new-transformer"}, "$.customization.method", "'new-transformer'. Served are: trainer (lora)"),
            ({"provider": "bim"}, "$.base_model.provider", "models of 'bim'"),
            ({"pinned": "nope"}, "$.backend", "of this name is not installed"),
            ({"pinned": "trainer", "method": "full"}, "$.customization.method", "it serves lora"),
            ({"pinned": "trainer", "provider": "bim"}, "$.base_model.provider", "it serves custom"),
        ],
    )  # fmt: skip
    def test_nobody_serves_it(self, arguments: dict[str, Any], path: str, words: str) -> None:
        problem = self.choose(TrainingBackend, **arguments)
        assert isinstance(problem, Problem)
        assert (problem.code, problem.path) == ("no_backend", path)
        assert words in problem.message


class TestLaunchers:
    def test_are_constructed_and_listed(self) -> None:
        registry = LauncherRegistry(discovery(QueueLauncher), {"queue": {}}, CONTEXT)
        assert registry.names() == ["queue"]
        [entry] = registry.installed().data
        assert entry.capabilities["gpus"] == 8
        assert registry.all().keys() == {"queue"}

    def test_wrong_settings_stop_the_gateway(self) -> None:
        with pytest.raises(ValueError, match=r"launchers\.queue: Its settings do not fit.*nope"):
            LauncherRegistry(discovery(QueueLauncher), {"queue": {"nope": 1}}, CONTEXT)

    def test_settings_for_nobody_stop_the_gateway(self) -> None:
        with pytest.raises(ValueError, match=r"launchers\.slurm: not installed"):
            LauncherRegistry(discovery(QueueLauncher), {"slurm": {}}, CONTEXT)
