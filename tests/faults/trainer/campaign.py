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
from support.trainer_bench import Bench
from tunegate.contract.training import TrainingSpec

GONE_STORE = 73
"""The exit code of a job whose object store did not answer: it is tried again."""
LATENCY_S = 0.01
MOMENTS = ("start", "step", "begin write", "begin upload", "begin export", "begin publish")
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
        code = await self._attempt(job, journal, None, None, refuse_every=10**9)
        self._usual_s = time.monotonic() - began_s
        attempt = read_journal(journal)
        found = [] if code == 0 else [f"the unbroken run ended with {code}"]
        return self._bench.output(spec.job_id), attempt, found + rows_once(attempt)

    async def killed(
        self,
        spec: TrainingSpec,
        unbroken: tuple[Path, Attempt],
        most_kills: int,
        plant: str | None = None,
    ) -> Killed:
        """Kill and restart, `most_kills` times at most, until it succeeds, and compare."""
        job, output, result = self._lay_out(spec), self._bench.output(spec.job_id), Killed()
        for number in range(MOST_ATTEMPTS):
            if self._chance.random() < (1.0 if plant else 0.25):
                result.torn += self._damage(output)
            expected = newest_whole(output)
            journal = job.parent / f"journal-{number}"
            enough = result.kills.total() >= most_kills
            moment = None if enough else self._moment(with_checkpoint=plant is not None)
            code = await self._attempt(job, journal, moment, plant, refuse_every=self._refusals())
            attempt = read_journal(journal)
            wrong = against_unbroken(attempt, expected, unbroken[1])
            if code == 0:
                wrong += same_result(output, unbroken[0], attempt)
            elif code == -9:
                result.kills[self._phase(journal)] += 1
            elif code != GONE_STORE:
                wrong.append(f"it ended with exit code {code}")
            result.violations += [f"{spec.job_id}, attempt {number}: {text}" for text in wrong]
            if code == 0 or wrong:
                return result
        result.violations.append(f"{spec.job_id}: no end after {MOST_ATTEMPTS} attempts")
        return result

    def _moment(self, *, with_checkpoint: bool) -> Moment:
        """Half of the kills wait for a word of the journal, the others come at any time after the start."""
        if with_checkpoint:
            return Moment("begin publish", 2, 0.0)
        line = self._chance.choice(MOMENTS)
        if line == "start" or self._chance.random() < 0.5:
            return Moment("", 0, self._chance.uniform(0.0, self._usual_s))
        count = self._chance.randint(1, 4 if line.startswith("begin") else 12)
        return Moment(line, 1 if line == "begin export" else count, self._chance.uniform(0, 0.02))

    def _refusals(self) -> int:
        return self._chance.choice((7, 23, 10**9))

    def _damage(self, output: Path) -> int:
        """Tear, change or remove a file of the newest checkpoint; how many were."""
        folders = sorted((output / "checkpoints").glob("step-*"))
        files = sorted(path for path in folders[-1].iterdir()) if folders else []
        if not files:
            return 0
        file = self._chance.choice(files)
        content = bytearray(file.read_bytes())
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
