"""One job's trainer from a seed: what it says, and the disorder in which its words arrive."""

import random
from typing import NamedTuple

from tunegate.contract.attempt import (
    CheckpointEvent,
    FailedEvent,
    HeartbeatEvent,
    IgnoredEvent,
    MetricsEvent,
    NoteEvent,
    PhaseEvent,
    ProgressEvent,
    SequencedEvent,
    StoppedEvent,
    SucceededEvent,
    TrainerEvent,
)

DOUBLED, REORDERED, AFTER_THE_LAST_WORD = 0.30, 0.30, 0.05
LOST_ATTEMPTS = 0.15
"""Of the streams: a first attempt loses its machine, and its words go on arriving while the second one runs."""
LAST_WORDS: dict[str, TrainerEvent] = {
    "succeeded": SucceededEvent(
        manifest_uri="s3://b/manifest.json", manifest_sha256="0" * 64, detail="All is written"
    ),
    "failed": FailedEvent(code="data_invalid", detail="Row 3 is broken"),
    "stopped": StoppedEvent(detail="Stopped", checkpoint_step=1),
}
Packet = list[SequencedEvent]


class Told(NamedTuple):
    """One attempt. `said` ends with the last word, where there is one; `packets` hold all of it, and more.

    `late` arrives when the engine has already said that the run is over.
    """

    said: Packet
    packets: list[Packet]
    late: list[Packet]
    exit_code: int


class Stream(NamedTuple):
    """The attempts of one job; all but the last lose their machine."""

    seed: int
    attempts: list[Told]
    events: int
    """Sent, doubles among them."""


def stream(seed: int) -> Stream:
    """The same seed, the same disorder."""
    chance = random.Random(seed)
    attempts = [_told(chance, lost=True)] if chance.random() < LOST_ATTEMPTS else []
    attempts.append(_told(chance, lost=False))
    events = sum(len(packet) for told in attempts for packet in told.packets + told.late)
    return Stream(seed, attempts, events)


def _told(chance: random.Random, *, lost: bool) -> Told:
    steps = chance.randint(1, 12)
    said = [event for step in range(1, steps + 1) for event in _step(chance, step, steps)]
    exit_code = 0
    if not lost:
        end = chance.choices(["succeeded", "failed", "stopped", "silence"], [70, 15, 5, 10])[0]
        exit_code = {"succeeded": 0, "failed": 67, "stopped": 77, "silence": 67}[end]
        said += [LAST_WORDS[end]] if end in LAST_WORDS else []
    told = isinstance(said[-1], SucceededEvent | FailedEvent | StoppedEvent)
    beyond = [_word(chance, steps) for _ in said if chance.random() < AFTER_THE_LAST_WORD]
    if not told and not lost:
        beyond = []  # a word behind silence would be an ordinary one
    numbered = [SequencedEvent(sequence=n, at_ms=n, event=e) for n, e in enumerate([*said, *beyond], 1)]  # fmt: skip
    before, behind = numbered[: len(said)], numbered[len(said) :]
    packets = _disorder(chance, before, with_them=behind if told else [])
    late = _disorder(chance, behind, with_them=chance.sample(before, len(before) // 4))
    if lost:  # its last word comes when nobody waits for it any more
        last = SequencedEvent(sequence=len(numbered) + 1, at_ms=0, event=LAST_WORDS["succeeded"])
        late.append([last])
    return Told(before, packets, late, exit_code)


def _step(chance: random.Random, step: int, steps: int) -> list[TrainerEvent]:
    progress = ProgressEvent(
        step=step, total_steps=steps, epoch=step / steps, tokens=step * 64, tokens_per_s=8.0,
        eta_s=chance.choice([None, float(steps - step)]),
    )  # fmt: skip
    others = [_word(chance, step) for _ in range(chance.randint(0, 2))]
    return [*others, progress] if chance.random() < 0.5 else [progress, *others]


def _word(chance: random.Random, step: int) -> TrainerEvent:
    number = chance.randint(1, 3)
    phase = chance.choice(["training", "saving", "uploading"])
    name = chance.choice(["loss", "eval_loss", "grad_norm"])
    return chance.choice(
        [
            MetricsEvent(step=step, values={name: chance.random()}),
            PhaseEvent(phase=phase, detail=f"at {step}"),
            NoteEvent(text=f"note {number}"),
            IgnoredEvent(path=f"$.field{number}", reason="has no effect"),
            CheckpointEvent(step=step, uri=f"s3://b/{step}/", size_bytes=step),
            HeartbeatEvent(),
        ]
    )


def _disorder(chance: random.Random, events: Packet, with_them: Packet) -> list[Packet]:
    """All of `events` in packets, some twice, some out of order; of `with_them` what comes along."""
    packets: list[Packet] = []
    rest = list(events)
    while rest:
        size = chance.randint(1, 6)
        packets.append(rest[:size])
        rest = rest[size:]
    packets = packets or [[]]
    for event in events:
        if chance.random() < DOUBLED:
            chance.choice(packets).append(event)
    for event in with_them:
        if chance.random() < 0.5:
            chance.choice(packets).append(event)
    for number in range(len(packets)):
        if chance.random() < REORDERED:
            other = chance.randrange(len(packets))
            packets[number], packets[other] = packets[other], packets[number]
            chance.shuffle(packets[number])
    return [packet for packet in packets if packet]
