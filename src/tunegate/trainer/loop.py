"""The training loop."""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from tunegate.contract.attempt import ProgressEvent
from tunegate.contract.training import TuningPlan
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data import BatchPlan, PackedBatch
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.distributed.whole import number, put, whole
from tunegate.trainer.divergence import FATAL, NOTED
from tunegate.trainer.errors import is_out_of_memory
from tunegate.trainer.evaluate import HeldOut, evaluate
from tunegate.trainer.fitting import given_up, smaller
from tunegate.trainer.forward import CausalForward
from tunegate.trainer.free_memory import release
from tunegate.trainer.objective import Means, Objective, Scores
from tunegate.trainer.optimizer import set_learning_rate, trainable
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.schedule import learning_rate
from tunegate.trainer.state import TrainState
from tunegate.trainer.stop import StopFlag, StopRequested
from tunegate.trainer.worst_rows import WorstRow, named

MOST_SKIPPED = 3
FIRST_SCALE, SMALLEST_SCALE = 2.0**16, 1.0


class Saver(Protocol):
    """What the loop needs of checkpoints."""

    def due(self, step: int) -> bool: ...
    def save(self, loop: "Loop") -> None: ...
    def resumed(self, step: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Launched:
    """A step that the device has been given. Its loss and the norm of its gradient are read when they are there."""

    scores: Scores
    norm: Tensor
    rate: float
    tokens: int
    began_s: float


@dataclass
class Loop:
    """One training from `state.step` to the plan's end, or to a stop, or until the evaluation gets no better."""

    objective: Objective
    optimizer: Optimizer
    tuning: TuningPlan
    plan: BatchPlan
    held_out: HeldOut | None
    reporter: Reporter
    saver: Saver
    stop: StopFlag
    state: TrainState = field(default_factory=TrainState)
    best: dict[str, Tensor] | None = None
    """The weights of the best evaluation, kept only where early stopping may go back to them."""
    ranks: Ranks = field(default_factory=Ranks)
    """All of them decide alike, from numbers that are the same everywhere."""

    def __post_init__(self) -> None:
        self.parameters = trainable(self.forward.model)
        self._next: Launched | None = None
        self._ended_s = 0.0
        self.adopt(self.state)

    @property
    def forward(self) -> CausalForward:
        return self.objective.forward

    def adopt(self, state: TrainState) -> None:
        """Go on from this state."""
        self.state = state
        state.micro_tokens = min(
            state.micro_tokens or self.plan.micro_tokens, self.plan.micro_tokens
        )
        self.plan = replace(self.plan, micro_tokens=state.micro_tokens)
        kind = self.forward.device.torch_device.type
        scale = state.loss_scale or FIRST_SCALE
        self.scaler = torch.amp.GradScaler(kind, init_scale=scale, enabled=self._scales)

    def run(self) -> None:
        """Train. Raises StopRequested, or TunegateError diverged."""
        self.forward.model.train()
        while True:
            if self._evaluation_due():
                self._evaluate()
                if self._got_no_better():
                    break
            if self.state.step >= self.plan.total_steps:
                break
            try:
                self.ranks.check(self.stop)
            except StopRequested:
                self._catch_up()
                raise
            self._train_step()
            if self.saver.due(self.state.step):
                self._catch_up()
                self.saver.save(self)
        self._check_end()
        self._go_back_to_best()

    @property
    def runs_ahead(self) -> bool:
        """Whether the next step is launched before the last one's numbers are read, so that a GPU never waits.

        It takes an optimizer that makes no update of its own accord where the device finds the gradient not finite.
        """
        alone = self.ranks.place.world == 1
        able = type(self.optimizer) is torch.optim.AdamW and not self._scales
        return self.forward.device.is_cuda and alone and able

    def _train_step(self) -> None:
        """One optimizer step; of a device that runs ahead, the next one has begun when this returns."""
        following = self.state.step + 1
        launched = self._next or self._launch(self.state.step)
        more = following < self.plan.total_steps and not self._evaluates_at(following)
        self._next = self._launch(following) if self.runs_ahead and more else None
        self._settle(launched)

    def _catch_up(self) -> None:
        """Weights and state are of the same step again."""
        if self._next is not None:
            launched, self._next = self._next, None
            self._settle(launched)

    def _launch(self, step: int) -> Launched:
        """Work over the whole batch: each micro batch adds its share of the mean over all of it."""
        began_s = time.monotonic()
        rate = learning_rate(self.tuning, step, self.plan.total_steps)
        set_learning_rate(self.optimizer, rate)
        while (found := self._gradients(step)) is None:
            self.optimizer.zero_grad(set_to_none=True)
            release()
        scores, tokens = found
        self.ranks.sum_gradients(self.parameters.values())
        self.scaler.unscale_(self.optimizer)
        norm = clip_grad_norm_(self.parameters.values(), self.tuning.max_grad_norm)
        if self.runs_ahead:
            self._update_where_finite(norm, scores)
            norm = norm.to("cpu", non_blocking=True)
            scores.send()
        return Launched(scores, norm, rate, tokens, began_s)

    def _update_where_finite(self, norm: Tensor, scores: Scores) -> None:
        """The fused optimizers look at `found_inf` on the device, the way the scaler of fp16 tells them."""
        optimizer: Any = self.optimizer
        optimizer.grad_scale = None
        optimizer.found_inf = (~torch.isfinite(norm + scores.total())).float()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _settle(self, launched: Launched) -> None:
        """Read what a step gave, update where that waited for it, and keep the books."""
        state, rate, tokens = self.state, launched.rate, launched.tokens
        means = launched.scores.read()
        norm = number(launched.norm)
        self._update(means.loss, norm)
        now_s = time.monotonic()
        seconds = now_s - max(launched.began_s, self._ended_s)
        self._ended_s = now_s
        state.step, state.tokens = state.step + 1, state.tokens + tokens
        state.seconds += seconds
        state.last_loss = means.loss
        if state.first_loss is None:
            state.first_loss = means.loss
        if self._logging_due():
            self._report(rate, norm, tokens / max(seconds, 1e-9), means.values)
        self._watch(means)

    def _gradients(self, step: int) -> tuple[Scores, int] | None:
        """This process's part of the step's gradient, and the tokens of all; None when the memory did not suffice.

        Then the next call begins anew with smaller passes, from the same random numbers. Raises TunegateError
        out_of_memory when they can't be smaller.
        """
        rank = self.ranks.place.rank
        torch.manual_seed(self.tuning.seed * 1_000_003 + step + (rank << 40))
        batches = self.plan.micro_batches(step)
        counted = [batch for batch in batches if not batch.idle]
        weight, tokens = self.ranks.total(
            (
                sum(int(self.objective.weights(batch).sum()) for batch in counted),
                sum(batch.num_tokens for batch in counted),
            )
        )
        scores = Scores(self.objective, self.ranks)
        too_large = self._too_large(batches, weight, scores)
        if self._smaller_passes(too_large, step):
            return None
        return scores, tokens

    def _too_large(
        self, batches: list[PackedBatch], weight: int, scores: Scores
    ) -> PackedBatch | None:
        """Run the passes; the one for which the memory did not suffice."""
        for batch in batches:
            try:
                score = self.objective.score(batch)
                share = 0 if batch.idle else 1
                self.scaler.scale(score.losses.sum() * share / weight).backward()
            except Exception as error:
                # Ranks that hold parts of the weights are in a collective now, from which no others can be called.
                if self.ranks.sharded or not is_out_of_memory(error):
                    raise
                return batch
            if not batch.idle:
                scores.add(batch, score)
        return None

    def _smaller_passes(self, too_large: PackedBatch | None, step: int) -> bool:
        """Whether the passes became smaller, in which all ranks agree. The batch of a step stays what it is."""
        if self.ranks.sharded or not any(self.ranks.total([int(too_large is not None)])):
            return False
        before, wanted = self.plan.micro_tokens, self.plan.micro_tokens
        if too_large is not None:
            wanted = smaller(self.plan, too_large.num_tokens, len(too_large.example_ids))
        after = min(self.ranks.gather(wanted))
        if not after:
            raise given_up(step + 1)
        self.state.micro_tokens = after
        self.plan = replace(self.plan, micro_tokens=after)
        self.reporter.note(
            f"step {step + 1}: the memory did not suffice; forward passes have at most {after} tokens from"
            f" here on, in place of {before}; the batch stays the same"
        )
        return True

    def _update(self, loss: float, norm: float) -> None:
        """Apply the gradient if it is finite; give up after a few that are not."""
        state = self.state
        scale_too_large = self._scales and self.scaler.get_scale() > SMALLEST_SCALE
        if math.isfinite(norm) and math.isfinite(loss):
            state.skipped = 0
            if not self.runs_ahead:
                self.scaler.step(self.optimizer)
        elif not (scale_too_large and math.isfinite(loss)):
            state.skipped += 1
            if state.skipped > MOST_SKIPPED:
                raise self._diverged()
            self.reporter.note(f"step {state.step + 1}: the loss is not finite; no update made")
        if not self.runs_ahead:
            self.optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        state.loss_scale = self.scaler.get_scale() if self._scales else None

    def _watch(self, means: Means) -> None:
        """Look at the losses that the step had: the rows that stay hard, and whether the loss has run away."""
        state = self.state
        if (state.step - 1) % self.plan.steps_per_epoch == 0:
            state.worst.next_epoch()
        state.worst.take(state.step, means.examples, means.losses)
        if not math.isfinite(means.loss):
            return
        usual = state.watch.usual
        verdict = state.watch.take(means.loss)
        if verdict == "spike":
            self.reporter.note(
                f"step {state.step}: the loss is {means.loss:.3g} and was about {usual:.3g} until "
                f"{NOTED} steps ago: the training may be diverging"
            )
        elif verdict == "diverged":
            sentence = (
                f"The loss rose from about {usual:.3g} to {means.loss:.3g} and has not come back in "
                f"{FATAL} steps, seen at step {state.step}: try a lower learning rate."
            )
            raise TunegateError("diverged", sentence)

    def worst_rows(self) -> list[WorstRow]:
        """Of the last epoch, the worst first."""
        epoch_over = self.state.step % self.plan.steps_per_epoch == 0
        return named(self.state.worst.worst(epoch_over=epoch_over), self.plan.store)

    def _check_end(self) -> None:
        """A training that ends in skipped steps has failed too, if only its last steps show it."""
        last = self.state.last_eval_loss
        if self.state.skipped or (last is not None and not math.isfinite(last)):
            raise self._diverged()

    def _diverged(self) -> TunegateError:
        step = self.state.step
        return TunegateError("diverged", f"The loss is not finite any more, seen at step {step}.")

    @property
    def _scales(self) -> bool:
        return self.forward.precision.scales_loss

    def _logging_due(self) -> bool:
        every = self.tuning.logging_steps or max(1, min(10, self.plan.total_steps // 50))
        return self.state.step % every == 0 or self.state.step in {1, self.plan.total_steps}

    def _report(
        self, rate: float, norm: float, tokens_per_s: float, values: dict[str, float]
    ) -> None:
        state, total = self.state, self.plan.total_steps
        values = {
            "loss": state.last_loss or 0.0,
            **values,
            "learning_rate": rate,
            "grad_norm": norm,
            "tokens_per_s": tokens_per_s,
        }
        state.note_loss()
        self.reporter.metrics(state.step, values)
        self.reporter.emit(
            ProgressEvent(
                step=state.step,
                total_steps=total,
                epoch=self.plan.epochs_at(state.step),
                tokens=state.tokens,
                tokens_per_s=tokens_per_s,
                eta_s=(total - state.step) * state.seconds / state.step,
            )
        )

    def _evaluation_due(self) -> bool:
        """At the start, every so many steps (an epoch when the job does not say), and at the end."""
        step = self.state.step
        return self.state.eval_step != step and self._evaluates_at(step)

    def _evaluates_at(self, step: int) -> bool:
        every = self.tuning.eval_steps or self.plan.steps_per_epoch
        due = step % every == 0 or step >= self.plan.total_steps
        return due and self.held_out is not None

    def _evaluate(self) -> None:
        if self.held_out is None:
            return
        found = evaluate(self.held_out, self.plan, self.stop, self.ranks)
        if self.state.note_eval(found.loss) and self.tuning.early_stopping_patience:
            self.best = {name: whole(p) for name, p in self.parameters.items()}
        others = {f"eval_{name}": value for name, value in found.values.items()}
        self.state.eval_values = others
        values = {"eval_loss": found.loss, **others, **self.objective.derived(found.loss)}
        self.reporter.metrics(self.state.step, values)

    def _got_no_better(self) -> bool:
        patience = self.tuning.early_stopping_patience
        if not patience or self.state.evals_without_gain < patience:
            return False
        self.reporter.note(
            f"stopped early at step {self.state.step}: eval_loss did not fall in "
            f"{patience} evaluations"
        )
        return True

    def _go_back_to_best(self) -> None:
        best = self.best
        if best is None or self.state.best_step == self.state.step:
            return
        put(self.parameters, self.ranks.spread(best))
        self.reporter.note(
            f"the weights of step {self.state.best_step} are kept: eval_loss was lowest there"
        )
