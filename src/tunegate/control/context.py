"""All that the control plane's front works with; the composition root fills it in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tunegate.contract.request import Auth
from tunegate.contract.training import StoragePolicy
from tunegate.control.addresses import CheckUrl
from tunegate.control.receivers import Receivers
from tunegate.control.registry import BackendRegistry, LauncherRegistry
from tunegate.control.sealer import Sealer
from tunegate.control.settings import ControlSettings, TrainerSettings, WebhookSettings
from tunegate.control.store.protocol import JobStore
from tunegate.sdk.clock import Clock
from tunegate.sdk.storage import ObjectStore

OpenStore = Callable[[str, StoragePolicy, Auth | None], ObjectStore]
"""(uri, policy, credentials) to the store of that scheme. Raises StorageError where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlContext:
    """What is injected. `new_uid` gives a new name for a job: at most 20 of [a-z0-9], never the same twice."""

    store: JobStore
    sealer: Sealer
    backends: BackendRegistry
    launchers: LauncherRegistry
    control: ControlSettings
    trainer: TrainerSettings
    webhooks: WebhookSettings
    storage: StoragePolicy
    state_dir: Path
    clock: Clock
    open_store: OpenStore
    check_url: CheckUrl
    new_uid: Callable[[], str]
    public_url: str | None = None
    dashboard: bool = False
    """Whether the gateway serves the page for people."""
    receivers: Receivers = field(default_factory=Receivers)
    trouble: Callable[[], str | None] = field(default=lambda: None)
    """One sentence when a background loop has died."""

    @property
    def jobs_url(self) -> str | None:
        """What a job is looked at by: its name follows."""
        if self.public_url is None:
            return None
        return self.public_url.rstrip("/") + ("/ui#/jobs/" if self.dashboard else "/train/")
