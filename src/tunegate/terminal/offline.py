"""The plugins of this machine under a gateway's settings, without a gateway, a store or a key."""

from dataclasses import dataclass
from functools import partial

from msgspec import structs

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Problem
from tunegate.contract.request import TrainRequest
from tunegate.control.admission import Admission, AdmissionRules, admit
from tunegate.control.options import ROOT, launcher_name
from tunegate.control.principal import Principal
from tunegate.control.registry import BackendRegistry, LauncherRegistry
from tunegate.egress.policy import check_url
from tunegate.sdk.backend import AnyBackend
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.launcher import Launcher, LauncherContext
from tunegate.settings import Settings
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure


def backends_here(settings: Settings) -> BackendRegistry:
    """All installed backends, those that are refused included."""
    return BackendRegistry.installed_here(settings.plugins.allowed_distributions)


def launchers_here(settings: Settings) -> LauncherRegistry:
    """All installed launchers, made with the settings' tables. Raises Failure where a table does not fit."""
    place = LauncherContext(state_dir=str(settings.state_path), clock=SystemClock())
    allowed = settings.plugins.allowed_distributions
    try:
        return LauncherRegistry.installed_here(settings.launchers, place, allowed)
    except ValueError as error:
        raise Failure(str(error), ExitCode.USAGE) from None


def lenient(settings: Settings) -> Settings:
    """For a look without a gateway's settings: where data may lie, and whether there are GPUs, is that gateway's to say."""
    storage = structs.replace(
        settings.storage,
        file_roots=["/"],
        allow_private_addresses=True,
        allow_http=True,
        allow_ambient_credentials=True,
    )
    return structs.replace(settings, storage=storage, launchers={"local": {"cpu_fallback": True}})


@dataclass(frozen=True)
class Look:
    """A request that could run, by all that can be known here. `launcher` is None where none was to be asked."""

    request: TrainRequest
    backend: AnyBackend
    launcher: Launcher | None
    admission: Admission
    container: ContainerSpec


def look_over(request: TrainRequest, settings: Settings, *, ask_launcher: bool) -> Look:
    """What a gateway with these settings would say. Raises TunegateError invalid_job with every problem."""
    backend = backends_here(settings).choose(
        request.customization.method, request.base_model.provider, request.backend
    )
    launcher = _launcher(request, settings) if ask_launcher else None
    rules = AdmissionRules(
        principal=Principal(name="offline"),
        trainer=settings.trainer,
        storage=settings.storage,
        check_url=partial(check_url, policy=settings.egress),
    )
    admission = admit(
        request,
        None if isinstance(backend, Problem) else backend,
        None if isinstance(launcher, Problem) else launcher,
        rules,
    )
    chosen = [choice for choice in (backend, launcher) if isinstance(choice, Problem)]
    problems = (*chosen, *admission.problems)
    if isinstance(backend, Problem) or isinstance(launcher, Problem) or admission.container is None:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise TunegateError("invalid_job", count, problems=problems)
    return Look(request, backend, launcher, admission, admission.container)


def _launcher(request: TrainRequest, settings: Settings) -> Launcher | Problem:
    launchers = launchers_here(settings)
    name = launcher_name(request.extra_parameters, settings.control.default_launcher)
    if isinstance(name, Problem):
        return name
    reasons = [each.error for each in launchers.installed().data if each.name == name]
    return launchers.get(name) or Problem(
        path=f"{ROOT}.launcher",
        code="not_supported",
        message=f"The launcher {name!r} can't be used here: {reasons[0] if reasons else 'it is not installed'}",
    )
