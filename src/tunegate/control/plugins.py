"""Finding installed plugins: every entry point of a group, loaded or refused with a reason. One bad plugin hurts nobody else."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from stevedore.extension import Extension, ExtensionManager

from tunegate.contract.job import Installed

AnyExtension = Extension[Any]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a group holds: one loaded extension per name, and an entry with the reason for each that was refused."""

    found: dict[str, AnyExtension] = field(default_factory=dict[str, AnyExtension])
    refused: list[Installed] = field(default_factory=list[Installed])


class _NotAllowed(Exception):
    """The operator's list of distributions does not name this one."""


class _Loader(ExtensionManager[Any]):
    """Stevedore with three differences: it keeps the distribution, asks the allow-list before the import, and survives
    plugins that assert or exit while they are imported.
    """

    def __init__(self, group: str, allowed: Collection[str] | None) -> None:
        self.refused: list[Installed] = []
        self._allowed = None if allowed is None else {normalised(name) for name in allowed}
        super().__init__(group, on_load_failure_callback=self._refuse)

    def list_entry_points(self) -> list[EntryPoint]:
        return sorted(entry_points(group=self.namespace), key=lambda ep: ep.name)

    def _load_one_plugin(
        self,
        ep: EntryPoint,
        invoke_on_load: bool,
        invoke_args: tuple[Any],
        invoke_kwds: dict[str, Any],
    ) -> AnyExtension | None:
        if self._allowed is not None and normalised(distribution_of(ep) or "") not in self._allowed:
            raise _NotAllowed("its distribution is not in plugins.allowed_distributions")
        try:
            return super()._load_one_plugin(ep, invoke_on_load, invoke_args, invoke_kwds)
        except (AssertionError, SystemExit) as error:
            raise ImportError(f"{type(error).__name__} on import: {error}") from error

    def _refuse(self, _manager: object, ep: EntryPoint, error: BaseException) -> None:
        reason = (
            str(error) if isinstance(error, _NotAllowed) else f"{type(error).__name__}: {error}"
        )
        self.refused.append(refusal(ep, reason))


def discover(group: str, allowed: Collection[str] | None = None) -> Discovery:
    """Import every plugin of an entry-point group. `allowed` names distributions (None = all)."""
    loader = _Loader(group, allowed)
    sorted_out = without_duplicates(loader.extensions)
    return Discovery(sorted_out.found, [*loader.refused, *sorted_out.refused])


def without_duplicates(extensions: Sequence[AnyExtension]) -> Discovery:
    """A name that two distributions claim is refused for both: neither may win silently."""
    by_name: dict[str, list[AnyExtension]] = {}
    for extension in extensions:
        by_name.setdefault(extension.name, []).append(extension)
    result = Discovery()
    for name, claimants in by_name.items():
        if len(claimants) == 1:
            result.found[name] = claimants[0]
            continue
        who = " and ".join(distribution_of(e.entry_point) or e.entry_point.value for e in claimants)
        reason = f"The name {name!r} is claimed by {who}; uninstall all but one."
        result.refused.extend(refusal(e.entry_point, reason) for e in claimants)
    return result


def refusal(ep: EntryPoint, reason: str) -> Installed:
    """The list entry of a plugin that is installed and not in use."""
    return Installed(
        name=ep.name,
        version=version_of(ep),
        distribution=distribution_of(ep),
        description="",
        loaded=False,
        error=reason,
    )


def distribution_of(ep: EntryPoint) -> str | None:
    return ep.dist.name if ep.dist else None


def version_of(ep: EntryPoint) -> str | None:
    return ep.dist.version if ep.dist else None


def normalised(name: str) -> str:
    """Distribution names compare without case, and `-`, `_` and `.` are one."""
    return name.lower().replace("_", "-").replace(".", "-")
