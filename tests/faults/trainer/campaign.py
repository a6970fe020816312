"""Trainings that are killed again and again until they come to their end, and what was wrong of them."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from faults.trainer.attempts import Moment, Zygote
from faults.trainer.checker import (
    Attempt,
    against_unbroken,
    newest_whole,
    read_journal,
    rows_once,
    same_result,
)
from faults.trainer.hooks import TRUSTING
from support.trainer_bench import Bench
from tunegate.contract.training import TrainingSpec

GONE_STORE = 73
"""The exit code of a job whose object store did not answer: it is tried again."""
LATENCY_S = 0.01
MOMENTS = (
    "start",
    "step",
    "begin write",
    "begin upload",
    "begin export",
    "begin logs",
    "begin publish",
)
THIRD_CHECKPOINT = Moment("begin upload", 9, 0.0)
"""Two are complete then, of four files each, and steps are left to be made."""
NEVER = 10**9
MOST_ATTEMPTS = 60


@dataclass
class Killed:
    """One training, from its first attempt to its result."""

    kills: Counter[str] = field(default_factory=Counter[str])
    """By the last word of the journal before."""
    violations: list[str] = field(default_factory=list[str])
    torn: int = 0
    """Checkpoints that were damaged between attempts."""


class Campaign:
    """Jobs on one tiny model. `unbroken` is the folder of a result that no kill has touched."""

    def __init__(self, bench: Bench, zygote: Zygote, chance: random.Random) -> None:
        self._bench = bench
        self._zygote = zygote
        self._chance = chance
        self._usual_s = 0.0

    async def unbroken(self, spec: TrainingSpec) -> tuple[Path, Attempt, list[str]]:
        """Result, journal and violations of an attempt that nobody kills."""
        job = self._lay_out(spec)
        journal = job.parent / "journal"
        began_s = time.monotonic()
        code = await self._attempt(job, journal, None, None, refuse_every=NEVER)
        self._usual_s = time.monotonic() - began_s
        attempt = read_journal(journal)
        found = [] if code == 0 else [f"the unbroken run ended with {code}"]
        found += rows_once(attempt) if code == 0 else []
        return self._bench.output(spec.job_id), attempt, found

    async def killed(
        self, spec: TrainingSpec, unbroken: tuple[Path, Attempt], most_kills: int
    ) -> Killed:
        """Kill and restart, `most_kills` times at most, until it succeeds, and compare."""
        job, output, result = self._lay_out(spec), self._bench.output(spec.job_id), Killed()
        for number in range(MOST_ATTEMPTS):
            if self._chance.random() < 0.25:
                folders = sorted((output / "checkpoints").glob("step-*"))
                result.torn += self._damage(folders[-1]) if folders else 0
            expected = newest_whole(output)
            journal = job.parent / f"journal-{number}"
            moment = None if result.kills.total() >= most_kills else self._moment()
            code = await self._attempt(job, journal, moment, None, refuse_every=self._refusals())
            result.kills[self._phase(journal)] += code == -9
            wrong = self._wrong(code, output, read_journal(journal), expected, unbroken)
            result.violations += [f"{spec.job_id}, attempt {number}: {text}" for text in wrong]
            if code == 0 or wrong:
                return result
        result.violations.append(f"{spec.job_id}: no end after {MOST_ATTEMPTS} attempts")
        return result

    async def planted(
        self, spec: TrainingSpec, unbroken: tuple[Path, Attempt], plant: str
    ) -> list[str]:
        """What the checker says of a trainer with a bug, killed once with two checkpoints complete."""
        job, output = self._lay_out(spec), self._bench.output(spec.job_id)
        first, second = job.parent / "journal-0", job.parent / "journal-1"
        code = await self._attempt(job, first, THIRD_CHECKPOINT, None, refuse_every=NEVER)
        assert code == -9
        if plant == TRUSTING:
            whole = output / "checkpoints" / f"step-{newest_whole(output):06d}"
            weights = whole / "weights.safetensors"
            weights.write_bytes(weights.read_bytes()[:-1] + b"?")
        expected = newest_whole(output)
        code = await self._attempt(job, second, None, plant, refuse_every=NEVER)
        return self._wrong(code, output, read_journal(second), expected, unbroken)

    @staticmethod
    def _wrong(
        code: int, output: Path, attempt: Attempt, expected: int, unbroken: tuple[Path, Attempt]
    ) -> list[str]:
        found = against_unbroken(attempt, expected, unbroken[1])
        if code == 0:
            found += same_result(output, unbroken[0], attempt)
        elif code not in (-9, GONE_STORE):
            found.append(f"it ended with exit code {code}")
        return found

    def _moment(self) -> Moment:
        """Half of the kills wait for a word of the journal, the others come at any time after the start."""
        line = self._chance.choice(MOMENTS)
        if line == "start" or self._chance.random() < 0.5:
            return Moment("", 0, self._chance.uniform(0.0, self._usual_s))
        count = self._chance.randint(1, 4 if line.startswith("begin") else 12)
        return Moment(line, 1 if line == "begin export" else count, self._chance.uniform(0, 0.02))

    def _refusals(self) -> int:
        return self._chance.choice((7, 23, NEVER))

    def _damage(self, checkpoint: Path) -> int:
        """Tear, change or remove one of its files; how many were."""
        files = sorted(checkpoint.iterdir())
        if not files:
            return 0
        file = self._chance.choice(files)
        content = bytearray(file.read_bytes() or b"-")
        match self._chance.randrange(3):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(content[: len(content) // 2])
            case _:
                content[len(content) // 2] ^= 1
                file.write_bytes(content)
        return 1

    async def _attempt(
        self,
        job: Path,
        journal: Path,
        kill_at: Moment | None,
        plant: str | None,
        *,
        refuse_every: int,
    ) -> int:
        asked = {
            "job": str(job), "journal": str(journal), "log": str(job.parent / "log"),
            "latency_s": LATENCY_S, "refuse_every": refuse_every, "plant": plant,
        }  # fmt: skip
        return await self._zygote.attempt(asked, kill_at)

    def _lay_out(self, spec: TrainingSpec) -> Path:
        folder = self._bench.folder / "run" / spec.job_id
        folder.mkdir(parents=True)
        (folder / "job.json").write_bytes(msgspec.json.encode(spec))
        return folder / "job.json"

    @staticmethod
    def _phase(journal: Path) -> str:
        lines = journal.read_text().splitlines() if journal.exists() else []
        words = lines[-1].split() if lines else ["start"]
        return " ".join(words[:2]) if words[0] == "begin" else words[0]
