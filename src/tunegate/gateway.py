"""The composition root: the one place where settings become a running gateway and all rooms meet."""

import asyncio
import random
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from litestar import Litestar

from tunegate import __version__
from tunegate.contract.audit import Value
from tunegate.control.artifacts import open_output
from tunegate.control.audit import Happening
from tunegate.control.audit_keeper import AuditKeeper
from tunegate.control.context import ControlContext
from tunegate.control.courier import Courier
from tunegate.control.manifest import ManifestVerifier
from tunegate.control.outbound import Outbound
from tunegate.control.outbox import Outbox
from tunegate.control.reconciler import Reconciler
from tunegate.control.registry import BackendRegistry, LauncherRegistry
from tunegate.control.retention import Retention
from tunegate.control.rewrapping import KeyKeeper
from tunegate.control.sealer import Sealer
from tunegate.control.service import JobService
from tunegate.control.settings import KeySettings, WebhookSettings
from tunegate.control.signing import Signer
from tunegate.control.store.choose import make_store
from tunegate.control.store.opening import open_patiently
from tunegate.control.token_keeper import TokenKeeper
from tunegate.control.uids import new_uid
from tunegate.egress import (
    EgressClient,
    EgressFailed,
    EgressRefused,
    EgressUnreachable,
    check_url,
)
from tunegate.http.app import create_app
from tunegate.http.auth import Authenticator
from tunegate.http.door import WILDCARD
from tunegate.http.facade import Context
from tunegate.http.meters import Meters
from tunegate.http.oidc import OidcVerifier
from tunegate.http.settings import ServerSettings
from tunegate.http.streams import Streams
from tunegate.http.traced import Traced
from tunegate.observe.engines import watched as watched_launchers
from tunegate.observe.metrics import ControlMetrics
from tunegate.observe.store import watched as watched_store
from tunegate.sdk.clock import Clock, SystemClock
from tunegate.sdk.launcher import Launcher, LauncherContext
from tunegate.settings import Settings, Tokens, settings_digest
from tunegate.storage.kms import KmsKeys
from tunegate.storage.open import open_store
from tunegate.telemetry import get_logger, place_of
from tunegate.tracing import tracing_here

log = get_logger(__name__)


class Gateway:
    """All parts, built and not yet started. `app` starts and stops them with its own life.

    Raises OSError, ValueError and KeyFileUnsafe when the settings can't be worked with on this machine.
    """

    def __init__(self, settings: Settings, tokens: Tokens, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._owner = f"{socket.gethostname()}-{secrets.token_hex(6)}"
        settings.state_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tracing = tracing_here("tunegate")
        self._metrics = ControlMetrics()
        store = make_store(settings.store, settings.store_path, self._clock)
        self._store = watched_store(store, self._metrics, self._clock, self._tracing)
        self._kms = _kms(settings.keys)
        self._sealer = Sealer(settings.key_path, self._kms)
        self._keys = KeyKeeper(
            self._store, self._sealer, self._clock, settings.keys.check_interval_s
        )
        self._control = self._control_context()
        self._reconciler = self._build_reconciler()
        self._egress = EgressClient(settings.egress)
        self._outbox = self._build_outbox()
        self.streams = Streams(settings.server.max_streams)
        self.jobs = JobService(self._control)
        self._tokens = TokenKeeper(self._store, self._clock)
        self._audit = AuditKeeper(self._store, self._clock, on_head=self._metrics.audited)
        self._retention = Retention(
            self._store,
            settings.retention,
            self._clock,
            settings.state_path,
            self._metrics.removed,
        )
        meters = Meters(self._store.counts)
        context = Context(
            self.jobs, settings.server, self.streams, meters, self._tokens, self._audit
        )
        meters.registry.register(self._metrics)
        self.app: Litestar = create_app(context, self._authenticator(tokens), self._lifespan)
        if self._tracing is not None:
            self.app.asgi_handler = Traced(self.app.asgi_handler, self._tracing)

    def _authenticator(self, tokens: Tokens) -> Authenticator:
        auth, resolvers = self.settings.auth, [self._tokens.principal]
        if auth.oidc is not None:
            resolvers.append(OidcVerifier(auth.oidc, self._egress.fetch, self._clock).principal)
        return Authenticator(
            tokens,
            resolvers,
            required=auth.required or auth.oidc is not None,
            metrics_open=self.settings.server.metrics_open,
        )

    def _control_context(self) -> ControlContext:
        settings, allowed = self.settings, self.settings.plugins.allowed_distributions
        place = LauncherContext(state_dir=str(settings.state_path), clock=self._clock)
        return ControlContext(
            store=self._store,
            sealer=self._sealer,
            backends=BackendRegistry.installed_here(allowed),
            launchers=LauncherRegistry.installed_here(settings.launchers, place, allowed),
            control=settings.control,
            trainer=settings.trainer,
            webhooks=settings.webhooks,
            storage=settings.storage,
            state_dir=settings.state_path,
            clock=self._clock,
            open_store=open_store,
            check_url=partial(check_url, policy=settings.egress),
            new_uid=lambda: new_uid(self._clock.now_ms()),
            public_url=own_url(settings.server),
            dashboard=settings.server.dashboard,
            trouble=lambda: (
                self._reconciler.trouble() or self._outbox.trouble() or self._audit.trouble()
            ),
        )

    def _build_reconciler(self) -> Reconciler:
        return Reconciler(
            store=self._store,
            launchers=watched_launchers(
                self._control.launchers.all(), self._metrics, self._tracing
            ),
            sealer=self._sealer,
            settings=self.settings.control,
            webhooks=self.settings.webhooks,
            clock=self._clock,
            verify_manifest=ManifestVerifier(partial(open_output, self._control)),
            state_dir=self.settings.state_path,
            gateway_url=own_url(self.settings.server),
            owner=self._owner,
            open_output=partial(open_output, self._control),
        )

    def _build_outbox(self) -> Outbox:
        courier = Courier(
            store=self._store,
            sealer=self._sealer,
            outbound=Outbound(
                client=self._egress,
                refused=EgressRefused,
                failed=EgressFailed,
                unreachable=EgressUnreachable,
            ),
            settings=self.settings.webhooks,
            signer=_signer(self.settings.webhooks),
            clock=self._clock,
            chance=random.SystemRandom().random,
            receivers=self._control.receivers,
        )
        return Outbox(
            store=self._store,
            courier=courier,
            settings=self.settings.webhooks,
            clock=self._clock,
            owner=self._owner,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncGenerator[None]:
        """What acts on jobs starts after what it needs and stops before it."""
        async with AsyncExitStack() as stack:
            try:
                await self._start(stack)
            except Exception as error:
                log.error("gateway_not_started", **place_of(error))  # noqa: TRY400  words may hold a value
                raise
            self._announce()
            yield
        log.info("gateway_stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        """Store first."""
        await self._open_store()
        stack.push_async_callback(self._store.close)
        if self._tracing is not None:
            stack.push_async_callback(asyncio.to_thread, self._tracing.close)
        await self._audit.start(self._started())
        stack.push_async_callback(self._audit.stop)
        if self._kms is not None:
            await stack.enter_async_context(self._kms)
        await self._keys.start()
        stack.push_async_callback(self._keys.stop)
        for launcher in self._control.launchers.all().values():
            await self._start_launcher(launcher, stack)
        await stack.enter_async_context(self._egress)
        self._tokens.start()
        stack.push_async_callback(self._tokens.stop)
        await self._outbox.start()
        stack.push_async_callback(self._outbox.stop)
        self._retention.start()
        stack.push_async_callback(self._retention.stop)
        await self._reconciler.start()
        stack.push_async_callback(self._reconciler.stop)
        stack.callback(self.streams.close)

    async def _open_store(self) -> None:
        """Only a database elsewhere may still be on its way."""
        chosen = self.settings.store
        wait_s = chosen.start_wait_s if chosen.url is not None else 0.0

        def tell(reason: str) -> None:
            log.warning("store_not_open", reason=reason)

        await open_patiently(self._store, wait_s, self._clock, tell)

    async def _start_launcher(self, launcher: Launcher, stack: AsyncExitStack) -> None:
        stack.push_async_callback(launcher.close)
        async with asyncio.timeout(_LAUNCHER_START_S):
            await launcher.start()

    def _started(self) -> Happening:
        data: dict[str, Value] = {
            "gateway": self._owner,
            "key": self._sealer.active,
            "settings": settings_digest(self.settings),
            "version": __version__,
        }
        return Happening(kind="gateway.started", data=data)

    def _announce(self) -> None:
        log.info(
            "gateway_started",
            host=self.settings.server.host,
            port=self.settings.server.port,
            backends=self._control.backends.names(),
            launchers=self._control.launchers.names(),
            version=__version__,
        )


_LAUNCHER_START_S = 60.0


def own_url(server: ServerSettings) -> str:
    """How clients and trainers reach this gateway."""
    if server.public_url:
        return server.public_url.rstrip("/")
    host = "127.0.0.1" if server.host in WILDCARD else server.host
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def _kms(settings: KeySettings) -> KmsKeys | None:
    if settings.kms_key_id is None:
        return None
    return KmsKeys(settings.kms_key_id, settings.kms_region, settings.kms_endpoint_url)


def _signer(settings: WebhookSettings) -> Signer | None:
    if settings.signing_secret_file is None:
        return None
    return Signer(Path(settings.signing_secret_file).expanduser().read_text())
