"""One training as a story: data, model, optimizer, resume, loop, export, upload."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tunegate.contract.attempt import ClaimGrant, SucceededEvent
from tunegate.contract.secret import decode_hook, reveal_hook
from tunegate.contract.training import OutputPlan, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.sdk.storage import ObjectStore
from tunegate.storage.open import open_store
from tunegate.trainer.background import Background
from tunegate.trainer.data.fetch import LocalSource, fetch_sources
from tunegate.trainer.data.report import DataReport
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.distributed.limits import is_sharded
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.distributed.team import Team
from tunegate.trainer.logs import LogUploader
from tunegate.trainer.publish import check_writable
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.stop import StopFlag, StopRequested
from tunegate.trainer.weights import fetch_model

if TYPE_CHECKING:
    from torch import nn

    from tunegate.trainer.data import BatchPlan
    from tunegate.trainer.device import Device, Precision
    from tunegate.trainer.distributed.saving import HelpingSaver
    from tunegate.trainer.forward import CausalForward
    from tunegate.trainer.loop import Loop
    from tunegate.trainer.saver import CheckpointSaver


@dataclass(frozen=True)
class Run:
    """What a training stands on. Ranks but the first have no output, and their grant is an empty one until they joined."""

    spec: TrainingSpec
    grant: ClaimGrant
    run_uid: str
    work_dir: Path
    output: ObjectStore | None
    logs: LogUploader | None
    team: Team
    background: Background
    reporter: Reporter
    stop: StopFlag
    deadline: Deadline


class Stopped(Exception):
    """The training was stopped and left a checkpoint of `step` (None: there was nothing to save yet)."""

    def __init__(self, request: StopRequested, step: int | None) -> None:
        self.reason = request.reason
        self.step = step
        super().__init__(str(request))


def train(run: Run) -> SucceededEvent | None:
    """The whole of it, on every rank; rank 0 gives the good news.

    Raises TunegateError, Stopped, StopRequested (before the first step).
    """
    spec, say = run.spec, run.reporter
    background, stop = run.background, run.stop
    place = run.team.place
    say.phase("preparing", "fetching the data sets and the base model")
    fetching = _Fetching(run) if place.is_main else None  # while Python imports torch

    from tunegate.trainer.adapters import make_trainable
    from tunegate.trainer.checkpoint import folder_name
    from tunegate.trainer.data import batch_plan, prepare
    from tunegate.trainer.data.share import Share
    from tunegate.trainer.deliver import deliver
    from tunegate.trainer.device import choose_precision, pick_device
    from tunegate.trainer.export import Trained
    from tunegate.trainer.fitting import eased
    from tunegate.trainer.free_memory import release, tell_peak, watch_peak
    from tunegate.trainer.identity import identity_of
    from tunegate.trainer.loop import Loop
    from tunegate.trainer.model import load_model, load_tokenizer
    from tunegate.trainer.neftune import add_noise
    from tunegate.trainer.objectives import make_objective
    from tunegate.trainer.optimizer import make_optimizer
    from tunegate.trainer.residual import taken_from_base
    from tunegate.trainer.vocabulary import grow_vocabulary
    from tunegate.trainer.worst_rows import hint

    device = pick_device(spec.cpu_threads, place)
    ranks = run.team.join(sharded=is_sharded(spec, place.world))
    run = replace(run, grant=_shared(run.grant, ranks))
    if fetching is None and place.is_node_main:
        fetching = _Fetching(run)
    precision = choose_precision(spec, device)
    fetched = None if fetching is None else (fetching.sources(), fetching.model())
    sources, folder = ranks.on_node("fetched", fetched, stop)
    tokenizer = load_tokenizer(folder)
    cache, check = run.work_dir / "tokens", stop.check
    preparing = background.aside(
        lambda: prepare(sources, spec.tuning, tokenizer, say.say, cache, check)
    )

    say.phase("preparing", "loading the base model and tokenising the data sets")
    _seed(spec.tuning.seed)
    model = load_model(folder, spec, precision, device, sharded=ranks.sharded)
    new_tokens = grow_vocabulary(model, tokenizer)
    if new_tokens:
        say.note(f"the model was given {len(new_tokens)} tokens that its tokenizer has beyond it")
    trained, how_much = make_trainable(model, spec, new_tokens)
    say.note(how_much)
    taken = taken_from_base(trained)
    ranks.rendezvous("loaded", stop)
    forward = _forward(trained, spec, ranks, device, precision)
    say.say(forward.isolation.sentence)
    if spec.tuning.neftune_noise_alpha is not None:
        add_noise(forward.causal, spec.tuning.neftune_noise_alpha)
    optimizer = make_optimizer(trained, spec.tuning, device)

    data = background.wait(preparing, stop)
    identity = identity_of(tokenizer)
    share = Share(place.rank, place.world, even=ranks.sharded)
    plan = replace(batch_plan(data.train, spec.tuning), share=share)
    for note in (*data.report.notes, *precision.notes):
        say.note(note)
    digest = training_digest(spec, data.report)
    ranks.rendezvous("prepared", stop)
    _require_same(ranks, digest)
    saver = _saver(run, digest, ranks)
    if fetching is not None:
        fetching.output_is_writable()
    plan = _fitted(plan, spec, forward, device, ranks, say)
    plan = eased(plan, run.grant.memory_kills, say)
    objective, held_out = make_objective(forward, spec.tuning, data, plan, say, stop, ranks)
    loop = Loop(objective, optimizer, spec.tuning, plan, held_out, say, saver, stop, ranks=ranks)
    ranks.align(loop.parameters.values())
    if run.grant.resume:
        _resume(run, digest, loop, ranks)

    say.phase("training", f"{plan.total_steps} steps, {len(data.train)} examples")
    watch_peak(device)
    try:
        loop.run()
    except StopRequested as request:
        if request.reason != "superseded" and loop.state.step:
            say.phase("saving", f"stopping: saving a checkpoint of step {loop.state.step}")
            saver.finish(loop, stop)
        raise Stopped(request, saver.saved_step) from request
    finally:
        release()  # what the steps needed, for whatever comes now
    tell_peak(device, say.say)
    forward = _unsharded(forward, spec, ranks)
    if run.output is None:
        return None
    saver.wait()

    worst = loop.worst_rows()
    if worst:
        say.note(hint(worst))
    prefix = spec.output.output_uri
    taken_up = [f"{prefix}checkpoints/{folder_name(step)}/" for step in loop.state.resumed_at]
    origin = {"digest": digest, "attempt": run.grant.attempt, "resumed_from": taken_up}
    if not ranks.alone:
        origin["processes"] = place.world
    return deliver(
        run,
        run.output,
        Trained(
            spec,
            forward,
            tokenizer,
            identity,
            data.report,
            loop.state,
            folder,
            taken,
            origin,
            worst,
        ),
    )


def _forward(
    model: "nn.Module", spec: TrainingSpec, ranks: Ranks, device: "Device", precision: "Precision"
) -> "CausalForward":
    if ranks.sharded:
        from tunegate.trainer.distributed.sharding import shard

        return shard(model, spec, ranks, device, precision)
    from tunegate.trainer.forward import probe

    return probe(model, device, precision)


def _unsharded(forward: "CausalForward", spec: TrainingSpec, ranks: Ranks) -> "CausalForward":
    """What was trained in shards comes together on rank 0."""
    if not ranks.sharded or spec.adapter is not None:
        return forward
    from tunegate.trainer.distributed.whole import plain_copy
    from tunegate.trainer.export import SAVED_DTYPES

    model = plain_copy(forward.causal, SAVED_DTYPES[spec.precision], ranks)
    return replace(forward, model=model, causal=model)


def _fitted(
    plan: "BatchPlan",
    spec: TrainingSpec,
    forward: "CausalForward",
    device: "Device",
    ranks: Ranks,
    say: Reporter,
) -> "BatchPlan":
    """Passes that the memory is foreseen to hold."""
    from tunegate.trainer.fitting import fitted, predictor
    from tunegate.trainer.free_memory import free_memory

    config = forward.causal.config.get_text_config().to_dict()
    shards = ranks.place.world if ranks.sharded else 1
    need = predictor(spec, config, cuda=device.is_cuda, lean=forward.lean, shards=shards)
    if need is None:
        return plan
    return fitted(plan, need, free_memory(device, ranks.place.local_world), ranks, say)


def _shared(grant: ClaimGrant, ranks: Ranks) -> ClaimGrant:
    """What rank 0 was granted, for all: from memory to memory. A secret has to be revealed to leave its process."""
    if ranks.alone:
        return grant
    content = msgspec.msgpack.encode(grant, enc_hook=reveal_hook) if ranks.is_main else b""
    return msgspec.msgpack.decode(ranks.broadcast(content), type=ClaimGrant, dec_hook=decode_hook)


def _require_same(ranks: Ranks, digest: str) -> None:
    """Nodes fetch for themselves."""
    if len(set(ranks.gather(digest))) > 1:
        sentence = "The data sets changed while the machines of the job fetched them."
        raise TunegateError("data_invalid", sentence)


def _saver(run: Run, digest: str, ranks: Ranks) -> "CheckpointSaver | HelpingSaver":
    if run.output is None or run.logs is None:
        from tunegate.trainer.distributed.saving import HelpingSaver

        return HelpingSaver(ranks, sharded=_gathers(run.spec, ranks))
    from tunegate.trainer.saver import CheckpointSaver

    announce = ranks.broadcast if _gathers(run.spec, ranks) else _say_nothing
    return CheckpointSaver(
        run.output, run.spec.output.output_uri, run.work_dir, digest, run.background,
        run.reporter, run.deadline,
        save_steps=run.spec.tuning.save_steps, after=run.logs.upload, announce=announce,
    )  # fmt: skip


def _gathers(spec: TrainingSpec, ranks: Ranks) -> bool:
    """Whether a checkpoint is in the hands of all ranks together."""
    return ranks.sharded and spec.adapter is None


def _say_nothing(_: bool) -> None:
    """Nobody has to know."""


def _resume(run: Run, digest: str, loop: "Loop", ranks: Ranks) -> None:
    """Go on from the newest checkpoint, if there is one; rank 0 fetches it for all."""
    from tunegate.trainer.checkpoint import load_checkpoint
    from tunegate.trainer.resume import fetch_newest

    newest: Path | None = None
    if run.output is not None:
        prefix = run.spec.output.output_uri
        fetching = fetch_newest(run.output, prefix, run.work_dir, digest)
        newest = run.background.run(fetching, run.stop)
    ranks.rendezvous("resume", run.stop)
    if ranks.broadcast(newest is not None):
        load_checkpoint(newest, loop)
        loop.state.resumed_at.append(loop.state.step)
        loop.saver.resumed(loop.state.step)
        run.reporter.note(f"goes on from the checkpoint of step {loop.state.step}")


class _Fetching:
    """Data, model and, on rank 0, the check of the output, under way at once."""

    def __init__(self, run: Run) -> None:
        spec, secrets, start = run.spec, run.grant.secrets, run.background.start
        self._run = run
        self._sources = start(fetch_sources(spec, secrets, run.work_dir, run.reporter.say))
        self._model = start(fetch_model(spec, secrets, run.work_dir, open_store))
        self._check = None
        if run.output is not None:
            self._check = start(check_writable(run.output, spec.output.output_uri, run.run_uid))

    def sources(self) -> list[LocalSource]:
        return self._run.background.wait(self._sources, self._run.stop)

    def model(self) -> Path:
        return self._run.background.wait(self._model, self._run.stop)

    def output_is_writable(self) -> None:
        if self._check is not None:
            self._run.background.wait(self._check, self._run.stop)


def training_digest(spec: TrainingSpec, report: DataReport) -> str:
    """A name for the course of this training: a checkpoint is good for the same settings and the same data only."""
    free = {"save_steps": None, "logging_steps": None}
    course = msgspec.structs.replace(
        spec,
        tuning=msgspec.structs.replace(spec.tuning, **free),
        output=OutputPlan(output_uri=spec.output.output_uri),
        cpu_threads=None,
        max_duration_s=None,
        metadata={},
    )
    digest = hashlib.sha256(msgspec.json.encode(course, order="sorted"))
    for source in report.sources:
        for file in source.files:
            digest.update(file.sha256.encode())
    return digest.hexdigest()


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)
