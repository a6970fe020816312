"""The plugins of this machine under a gateway's settings, without a gateway, a store or a key."""

from tunegate.control.registry import BackendRegistry, LauncherRegistry
from tunegate.sdk.clock import SystemClock
from tunegate.sdk.launcher import LauncherContext
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
