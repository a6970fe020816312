"""One controller per noun."""

from litestar import Controller

from tunegate.http.routes.artifacts import ArtifactController
from tunegate.http.routes.attempts import AttemptController
from tunegate.http.routes.audit import AuditController
from tunegate.http.routes.dashboard import DashboardController
from tunegate.http.routes.events import EventController
from tunegate.http.routes.health import HealthController
from tunegate.http.routes.installed import BackendController, LauncherController
from tunegate.http.routes.logs import LogController
from tunegate.http.routes.schema import SchemaController
from tunegate.http.routes.tokens import TokenController
from tunegate.http.routes.train import PinnedTrainController, TrainController
from tunegate.http.routes.trainjobs import TrainJobController
from tunegate.http.routes.webhooks import WebhookController

CONTROLLERS: tuple[type[Controller], ...] = (
    TrainController,
    PinnedTrainController,
    EventController,
    LogController,
    ArtifactController,
    WebhookController,
    TokenController,
    AuditController,
    BackendController,
    LauncherController,
    HealthController,
    SchemaController,
    DashboardController,
    AttemptController,
    TrainJobController,
)
