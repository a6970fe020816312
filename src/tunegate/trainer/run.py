"""One training as a story: data, model, optimizer, resume, loop, export, upload."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tunegate.contract.attempt import ClaimGrant, SucceededEvent
from tunegate.contract.training import OutputPlan, TrainingSpec
from tunegate.sdk.storage import ObjectStore
from tunegate.storage.open import open_store
from tunegate.trainer.background import Background
from tunegate.trainer.data.fetch import LocalSource, fetch_sources
from tunegate.trainer.data.report import DataReport
from tunegate.trainer.deadline import Deadline
from tunegate.trainer.logs import LogUploader
from tunegate.trainer.publish import check_writable
from tunegate.trainer.reporter import Reporter
from tunegate.trainer.stop import StopFlag, StopRequested
from tunegate.trainer.weights import fetch_model


@dataclass(frozen=True)
class Run:
    """What a training stands on."""

    spec: TrainingSpec
    grant: ClaimGrant
    run_uid: str
    work_dir: Path
    output: ObjectStore
    logs: LogUploader
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


def train(run: Run) -> SucceededEvent:
    """The whole of it. Raises TunegateError, Stopped, StopRequested (before the first step)."""
    spec, say = run.spec, run.reporter
    background, prefix = run.background, spec.output.output_uri
    say.phase("preparing", "fetching the data sets and the base model")
    fetching = _Fetching(run)  # the network works while Python imports torch

    from tunegate.trainer.adapters import make_trainable
    from tunegate.trainer.checkpoint import folder_name, load_checkpoint
    from tunegate.trainer.data import batch_plan, prepare
    from tunegate.trainer.deliver import deliver
    from tunegate.trainer.device import choose_precision, pick_device
    from tunegate.trainer.export import Trained
    from tunegate.trainer.forward import probe
    from tunegate.trainer.identity import identity_of
    from tunegate.trainer.loop import Loop
    from tunegate.trainer.model import load_model, load_tokenizer
    from tunegate.trainer.neftune import add_noise
    from tunegate.trainer.objectives import make_objective
    from tunegate.trainer.optimizer import make_optimizer
    from tunegate.trainer.residual import taken_from_base
    from tunegate.trainer.resume import fetch_newest
    from tunegate.trainer.saver import CheckpointSaver
    from tunegate.trainer.vocabulary import grow_vocabulary
    from tunegate.trainer.worst_rows import hint

    device = pick_device(spec.cpu_threads)
    precision = choose_precision(spec, device)
    sources = fetching.sources()
    folder = fetching.model()
    tokenizer = load_tokenizer(folder)
    cache, check = run.work_dir / "tokens", run.stop.check
    preparing = background.aside(
        lambda: prepare(sources, spec.tuning, tokenizer, say.say, cache, check)
    )

    say.phase("preparing", "loading the base model and tokenising the data sets")
    _seed(spec.tuning.seed)
    model = load_model(folder, spec, precision, device)
    new_tokens = grow_vocabulary(model, tokenizer)
    if new_tokens:
        say.note(f"the model was given {len(new_tokens)} tokens that its tokenizer has beyond it")
    trained, how_much = make_trainable(model, spec, new_tokens)
    say.note(how_much)
    taken = taken_from_base(trained)
    forward = probe(trained, device, precision)
    if spec.tuning.neftune_noise_alpha is not None:
        add_noise(forward.causal, spec.tuning.neftune_noise_alpha)
    optimizer = make_optimizer(trained, spec.tuning, device)

    data = background.wait(preparing, run.stop)
    identity = identity_of(tokenizer)
    plan = batch_plan(data.train, spec.tuning)
    for note in (*data.report.notes, *precision.notes):
        say.note(note)
    digest = training_digest(spec, data.report)
    saver = CheckpointSaver(
        run.output, prefix, run.work_dir, digest, background, say, run.deadline,
        save_steps=spec.tuning.save_steps, after=run.logs.upload,
    )  # fmt: skip
    fetching.output_is_writable()
    objective, held_out = make_objective(forward, spec.tuning, data, plan, say, run.stop)
    loop = Loop(objective, optimizer, spec.tuning, plan, held_out, say, saver, run.stop)
    if run.grant.resume:
        newest = background.run(fetch_newest(run.output, prefix, run.work_dir, digest), run.stop)
        if newest is not None:
            load_checkpoint(newest, loop)
            loop.state.resumed_at.append(loop.state.step)
            saver.resumed(loop.state.step)
            say.note(f"goes on from the checkpoint of step {loop.state.step}")

    say.phase("training", f"{plan.total_steps} steps, {len(data.train)} examples")
    try:
        loop.run()
    except StopRequested as request:
        if request.reason != "superseded" and loop.state.step:
            say.phase("saving", f"stopping: saving a checkpoint of step {loop.state.step}")
            saver.finish(loop, run.stop)
        raise Stopped(request, saver.saved_step) from request
    saver.wait()

    worst = loop.worst_rows()
    if worst:
        say.note(hint(worst))
    taken_up = [f"{prefix}checkpoints/{folder_name(step)}/" for step in loop.state.resumed_at]
    origin = {"digest": digest, "attempt": run.grant.attempt, "resumed_from": taken_up}
    return deliver(
        run,
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


class _Fetching:
    """Data, model and the check of the output, under way at once."""

    def __init__(self, run: Run) -> None:
        spec, secrets, start = run.spec, run.grant.secrets, run.background.start
        self._run = run
        self._sources = start(fetch_sources(spec, secrets, run.work_dir, run.reporter.say))
        self._model = start(fetch_model(spec, secrets, run.work_dir, open_store))
        self._check = start(check_writable(run.output, spec.output.output_uri, run.run_uid))

    def sources(self) -> list[LocalSource]:
        return self._run.background.wait(self._sources, self._run.stop)

    def model(self) -> Path:
        return self._run.background.wait(self._model, self._run.stop)

    def output_is_writable(self) -> None:
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
