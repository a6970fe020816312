"""Every promise of `JobStore`, written once for all drivers. A driver subclasses `JobStoreSuite` and gives a `store`."""

from conformance.job_store_suite.attempts import AttemptPromises
from conformance.job_store_suite.audit import AuditPromises
from conformance.job_store_suite.changes import ChangePromises
from conformance.job_store_suite.jobs import JobPromises
from conformance.job_store_suite.leases import LeasePromises
from conformance.job_store_suite.outbox import OutboxPromises
from conformance.job_store_suite.queue import QueuePromises
from conformance.job_store_suite.resealing import ResealingPromises
from conformance.job_store_suite.retention import RetentionPromises
from conformance.job_store_suite.tokens import TokenPromises

__all__ = ["JobStoreSuite"]


class JobStoreSuite(
    JobPromises,
    ChangePromises,
    LeasePromises,
    QueuePromises,
    AttemptPromises,
    OutboxPromises,
    ResealingPromises,
    TokenPromises,
    AuditPromises,
    RetentionPromises,
):
    """Fixtures to give: `store`, opened on the `clock`, and `reopen`, which closes it and opens its data again."""
