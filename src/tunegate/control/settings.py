"""What the operator sets for the control plane. The docstring under a field says why one would change it."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict
from tunegate.contract.secret import Secret

Seconds = Annotated[float, Meta(ge=0)]
PositiveSeconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
PositiveCount = Annotated[int, Meta(ge=1)]


class StoreSettings(Strict):
    """Where jobs are kept."""

    path: str | None = None
    """The SQLite file (None = tunegate.db in state_dir); put it on a local disk, never on a network file system."""
    url: Secret | None = None
    """A PostgreSQL database instead (postgresql://user:password@host/name), for several gateways at once; better given as TUNEGATE_DATABASE_URL."""
    migrate_at_start: bool = True
    """Bring a PostgreSQL schema up to date when the gateway starts; false leaves it to `tunegate db migrate`. SQLite always is."""
    pool_size: PositiveCount = 8
    """Connections to PostgreSQL at most, besides the one that listens."""
    statement_timeout_s: PositiveSeconds = 5.0
    """A PostgreSQL that does not answer for so long counts as unavailable."""
    start_wait_s: Seconds = 60.0
    """How long a gateway that starts waits for a PostgreSQL that does not answer yet, before it ends."""
    prepared_statements: bool = True
    """Set false behind a pooler in transaction mode that does not know them (pgbouncer before 1.21)."""
    notify: bool = True
    """Tell other gateways at once what changed (LISTEN, NOTIFY); set false behind a pooler in transaction mode: they poll."""

    def __post_init__(self) -> None:
        """Raises ValueError for a URL of another kind of database."""
        if self.url and not self.url.reveal().startswith(("postgresql://", "postgres://")):
            raise ValueError("store.url: must begin with postgresql://")


class KeySettings(Strict):
    """What keeps credentials at rest."""

    kms_key_id: str | None = None
    """An AWS KMS key (id, ARN or alias) wraps the jobs' data keys, with this machine's own AWS identity; None = the key file does."""
    kms_region: str = "us-east-1"
    """The region of the KMS key."""
    kms_endpoint_url: str | None = None
    """Where KMS is, when it is not Amazon's own of the region."""
    check_interval_s: PositiveSeconds = 30.0
    """How soon after a rotation the secrets of live jobs are moved to the new key."""


class ControlSettings(Strict):
    """How jobs are driven."""

    default_launcher: str = "local"
    """Where jobs run that do not name `extra_parameters.launcher`."""
    workers: PositiveCount = 64
    """Jobs looked after at the same time; more helps when the engines' APIs are slow."""
    lease_s: PositiveSeconds = 10.0
    """How soon another replica takes over the work of one that died."""
    poll_interval_s: PositiveSeconds = 2.0
    """How often a running job's engine is asked; longer spares the engine."""
    heartbeat_timeout_s: PositiveSeconds = 60.0
    """A trainer silent for so long is looked for at its engine."""
    retries: Count = 2
    """New attempts after trouble of the infrastructure (a lost node, a store out of reach); never after the user's errors."""
    preemption_retries: Count = 20
    """New attempts after runs that were stopped from outside (preempted, drained, a spot instance taken back)."""
    memory_retries: Count = 2
    """New attempts after runs that their engine killed for their memory, each with forward passes half as large."""
    orphan_quarantine_s: PositiveSeconds = 86_400.0
    """A run that an engine holds and this store never heard of is stopped after so long: after a restore from a backup it may be a job's that is alive."""
    grace_s: Seconds = 120.0
    """Time between asking a run to stop and killing it; it saves a checkpoint meanwhile."""
    keep_secrets_for_retry_s: Seconds = 0.0
    """Keep a failed job's credentials for so long, so that a retry need not send them again; 0 destroys them at the end."""


_DAY_S = 86_400.0


class RetentionSettings(Strict):
    """How long records are kept, in seconds; 0 = for ever. What is not finished is never touched."""

    jobs_s: Seconds = 0.0
    """Finished jobs, with all that is kept of them here; results in the clients' own stores stay."""
    events_s: Seconds = 90 * _DAY_S
    """The events of finished jobs; the last one, which lists the result, stays as long as the job."""
    logs_s: Seconds = 90 * _DAY_S
    """The logs of finished runs below state_dir."""
    deliveries_s: Seconds = 90 * _DAY_S
    """Webhooks of finished jobs that were delivered or given up; they can't be sent again after that."""
    tokens_s: Seconds = 90 * _DAY_S
    """Tokens that were revoked or have expired."""
    audit_s: Seconds = 365 * _DAY_S
    """Entries of the audit log; those that stay vouch for those that went."""


class WebhookSettings(Strict):
    """How clients are told."""

    signing_secret_file: str | None = None
    """A file with a `whsec_…` secret; signs webhooks as the Standard Webhooks specification says."""
    first_delay_s: Seconds = 1.0
    """A job's first webhook leaves no sooner than this after the 201: receivers may still be writing their own record."""
    timeout_s: PositiveSeconds = 15.0
    """How long a receiver may take to answer."""
    schedule_s: Annotated[tuple[PositiveSeconds, ...], Meta(min_length=1)] = (
        5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 86400, 86400,
    )  # fmt: skip
    """Waits between tries; after the last one the message is kept as a dead letter."""
    replay_window_s: Seconds = 2_592_000.0
    """The sealed address of a job whose final webhook was given up is kept for so long, so that it can be sent again."""
    not_found_cancels: bool = False
    """Cancel the job when its receiver answers 404 or 410 after an accepted delivery: its user deleted it."""


class TrainerSettings(Strict):
    """What runs inside the container."""

    image: str = "tunegate/trainer:latest"
    """The image of all jobs that do not name their own; pin it by digest in production."""
    allow_pickle: bool = False
    """Load weights in pickle files: they can run code of whoever wrote them."""
    trainable_layers_advisory: bool = False
    """Report `trainable_layers` as ignored instead of freezing the other blocks; for clients that always send it."""


class PluginSettings(Strict):
    """Which installed plugins count."""

    allowed_distributions: list[str] | None = None
    """Names of the pip packages whose plugins are loaded (None = every installed one)."""
