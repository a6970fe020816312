"""Which objective a training has: what its rows are made for."""

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data import BatchPlan, Prepared, TokenStore
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.evaluate import HeldOut
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.objective import Likelihood, Objective
from tunegate.trainer.preference import Preference, reference_losses
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.stop import StopFlag


def make_objective(
    forward: CausalForward,
    tuning: TuningPlan,
    data: Prepared,
    plan: BatchPlan,
    reporter: Reporter,
    stop: StopFlag,
    ranks: Ranks,
) -> tuple[Objective, HeldOut | None]:
    """The objective of the training and of its evaluation. Called before the weights change. Raises StopRequested."""
    if not data.train.pairs:
        likelihood = Likelihood(forward)
        return likelihood, HeldOut(data.eval, likelihood) if len(data.eval) else None
    reporter.phase("preparing", "what the model prefers before it is trained")

    def preference(store: TokenStore, *, training: bool) -> Preference:
        reference = reference_losses(forward, store, plan, stop, seen=training, ranks=ranks)
        return Preference(forward, tuning.dpo_beta, reference)

    objective = preference(data.train, training=True)
    if not len(data.eval):
        return objective, None
    return objective, HeldOut(data.eval, preference(data.eval, training=False))
