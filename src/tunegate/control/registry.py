"""The backends and launchers in use, and which of them a job gets."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tunegate.contract.job import Installed, InstalledList
from tunegate.contract.problems import Problem
from tunegate.contract.secret import schema_hook
from tunegate.control.plugins import (
    AnyExtension,
    Discovery,
    discover,
    distribution_of,
    refusal,
    version_of,
)
from tunegate.sdk.backend import AnyBackend, BackendPlugin
from tunegate.sdk.launcher import Launcher, LauncherContext
from tunegate.sdk.versions import version_problem

BACKENDS = "tunegate.backends"
LAUNCHERS = "tunegate.launchers"


class BackendRegistry:
    """The backend plugins of this gateway."""

    def __init__(self, discovery: Discovery) -> None:
        self._backends: dict[str, AnyBackend] = {}
        self._entries = list(discovery.refused)
        for extension in discovery.found.values():
            self._entries.append(self._admit(extension))
        self._entries.sort(key=lambda entry: entry.name)

    @classmethod
    def installed_here(cls, allowed: Collection[str] | None = None) -> "BackendRegistry":
        return cls(discover(BACKENDS, allowed))

    def _admit(self, extension: AnyExtension) -> Installed:
        try:
            backend = _new_backend(extension)
            entry = _backend_entry(extension, backend)
        except Exception as error:  # noqa: BLE001  whatever a plugin does wrong stays its own trouble
            return refusal(extension.entry_point, _reason(error))
        self._backends[extension.name] = backend
        return entry

    def get(self, name: str) -> AnyBackend | None:
        return self._backends.get(name)

    def names(self) -> list[str]:
        return sorted(self._backends)

    def installed(self) -> InstalledList:
        """All installed backends, those that could not be loaded included."""
        return InstalledList(data=list(self._entries))

    def choose(self, method: str, provider: str, pinned: str | None) -> AnyBackend | Problem:
        """The backend of a job: the pinned one, else the only (or the default) one that serves method and provider."""
        if pinned is not None:
            return self._pinned(method, provider, pinned)
        serving = [b for b in self._backends.values() if method in b.methods]
        if not serving:
            return self._nobody("$.customization.method", f"No installed backend serves {method!r}")
        fitting = [b for b in serving if provider in b.providers]
        if not fitting:
            return self._nobody(
                "$.base_model.provider",
                f"No installed backend serves {method!r} for models of {provider!r}",
            )
        defaults = [b for b in fitting if method in b.default_for]
        chosen = defaults or fitting
        if len(chosen) == 1:
            return chosen[0]
        names = ", ".join(sorted(b.name for b in chosen))
        return Problem(
            path="$.backend",
            code="ambiguous_backend",
            message=f"Several backends serve {method!r}: {names}. Name one in `backend`.",
        )

    def _pinned(self, method: str, provider: str, name: str) -> AnyBackend | Problem:
        backend = self._backends.get(name)
        if backend is None:
            broken = any(entry.name == name for entry in self._entries)
            what = (
                "is installed, but can't be loaded (GET /backends says why)"
                if broken
                else "is not installed"
            )
            return self._nobody("$.backend", f"The backend of this name {what}")
        if method not in backend.methods:
            served = ", ".join(sorted(backend.methods))
            return Problem(
                path="$.customization.method",
                code="no_backend",
                message=f"Backend {name!r} does not serve {method!r}; it serves {served}.",
            )
        if provider not in backend.providers:
            served = ", ".join(sorted(backend.providers))
            return Problem(
                path="$.base_model.provider",
                code="no_backend",
                message=f"Backend {name!r} does not serve models of {provider!r}; it serves {served}.",
            )
        return backend

    def _nobody(self, path: str, what: str) -> Problem:
        served = "; ".join(
            f"{name} ({', '.join(sorted(backend.methods))})"
            for name, backend in sorted(self._backends.items())
        )
        return Problem(
            path=path, code="no_backend", message=f"{what}. Served are: {served or 'none'}."
        )


class LauncherRegistry:
    """The launchers of this gateway, constructed with the operator's `[launchers.<name>]` tables.

    A table that names no loaded launcher, or does not fit its settings, is a ValueError: the gateway should not start.
    """

    def __init__(
        self,
        discovery: Discovery,
        tables: Mapping[str, Mapping[str, Any]],
        context: LauncherContext,
    ) -> None:
        self._launchers: dict[str, Launcher] = {}
        self._entries = list(discovery.refused)
        for extension in discovery.found.values():
            self._entries.append(self._admit(extension, tables.get(extension.name), context))
        self._entries.sort(key=lambda entry: entry.name)
        for name in tables:
            if name not in self._launchers:
                reasons = [e.error for e in self._entries if e.name == name] or ["not installed"]
                raise ValueError(f"launchers.{name}: {reasons[0]}")

    @classmethod
    def installed_here(
        cls,
        tables: Mapping[str, Mapping[str, Any]],
        context: LauncherContext,
        allowed: Collection[str] | None = None,
    ) -> "LauncherRegistry":
        return cls(discover(LAUNCHERS, allowed), tables, context)

    def _admit(
        self,
        extension: AnyExtension,
        table: Mapping[str, Any] | None,
        context: LauncherContext,
    ) -> Installed:
        try:
            launcher = _new_launcher(extension, table or {}, context)
            entry = _launcher_entry(extension, launcher)
        except Exception as error:  # noqa: BLE001  whatever a plugin does wrong stays its own trouble
            return refusal(extension.entry_point, _reason(error))
        self._launchers[extension.name] = launcher
        return entry

    def get(self, name: str) -> Launcher | None:
        return self._launchers.get(name)

    def names(self) -> list[str]:
        return sorted(self._launchers)

    def all(self) -> dict[str, Launcher]:
        """Every launcher in use, by name."""
        return dict(self._launchers)

    def installed(self) -> InstalledList:
        """All installed launchers, those that could not be loaded included."""
        return InstalledList(data=list(self._entries))


class _Refused(Exception):
    """The plugin loads and does not fit; the message says why."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _Refused) else f"{type(error).__name__}: {error}"


def _new_backend(extension: AnyExtension) -> AnyBackend:
    plugin = extension.plugin
    if not (isinstance(plugin, type) and issubclass(plugin, BackendPlugin)):
        raise _Refused("The entry point is not a subclass of tunegate.sdk.backend.BackendPlugin.")
    _require_fit(extension)
    return plugin()


def _require_fit(extension: AnyExtension) -> None:
    """Version and name, of a plugin of the right kind."""
    plugin: type[AnyBackend | Launcher] = extension.plugin
    problem = version_problem(plugin.api_version)
    if problem is not None:
        raise _Refused(problem)
    if plugin.name != extension.name:
        raise _Refused(
            f"The entry point is called {extension.name!r} and the class {plugin.name!r}; make them one."
        )


def _new_launcher(
    extension: AnyExtension, table: Mapping[str, Any], context: LauncherContext
) -> Launcher:
    plugin = extension.plugin
    if not (isinstance(plugin, type) and issubclass(plugin, Launcher)):
        raise _Refused("The entry point is not a subclass of tunegate.sdk.launcher.Launcher.")
    _require_fit(extension)
    try:
        settings = msgspec.convert(table, plugin.settings_type)
    except msgspec.ValidationError as error:
        raise _Refused(f"Its settings do not fit: {error}") from error
    return plugin(settings, context)


def _backend_entry(extension: AnyExtension, backend: AnyBackend) -> Installed:
    return Installed(
        name=extension.name,
        version=version_of(extension.entry_point),
        distribution=distribution_of(extension.entry_point),
        description=backend.description,
        loaded=True,
        methods=sorted(backend.methods),
        providers=sorted(backend.providers),
        options_schema=msgspec.json.schema(backend.options_type, schema_hook=schema_hook),
    )


def _launcher_entry(extension: AnyExtension, launcher: Launcher) -> Installed:
    return Installed(
        name=extension.name,
        version=version_of(extension.entry_point),
        distribution=distribution_of(extension.entry_point),
        description=launcher.description,
        loaded=True,
        options_schema=msgspec.json.schema(launcher.options_type, schema_hook=schema_hook),
        capabilities=msgspec.to_builtins(launcher.capabilities),
    )
