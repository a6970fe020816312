"""What happened in a world, and what of it should not have."""

from collections import Counter, defaultdict
from typing import Literal

from faults.launchers.process import Process
from tunegate.control.records import FINAL, JobRecord, JobState

Plan = Literal["fine", "bad data"]
HARMS_MAX = 2
"""Of one job: as many as the gateway tries again."""


class Evidence:
    """Taken down by clients, programs and mischief, never by the gateway."""

    def __init__(self, *, replaces: bool) -> None:
        """`replaces`: the engine starts a run anew whose node it lost, by itself; its claim has to fail then."""
        self._replaces = replaces
        self._lost: Counter[str] = Counter()
        self.plans: dict[str, Plan] = {}
        self.cancelled: set[str] = set()
        self.starts: Counter[str] = Counter()
        self.granted: defaultdict[str, set[str]] = defaultdict(set)
        self.harms: Counter[str] = Counter()
        self.alive: dict[str, Process] = {}

    def plan(self, job_id: str) -> Plan:
        return self.plans[job_id]

    def started(self, attempt_id: str, process: Process) -> None:
        self.starts[attempt_id] += 1
        self.alive[attempt_id] = process

    def harm(self, attempt_id: str) -> None:
        """Lose the node of a run that is alive, unless its job has been hit often enough."""
        job = attempt_id.rpartition("-")[0]
        process = self.alive.pop(attempt_id)
        if not process.is_over and self.harms[job] < HARMS_MAX:
            self.harms[job] += 1
            self._lost[attempt_id] += 1
            process.lose()

    def violations(self, jobs: list[JobRecord], left: list[str]) -> list[str]:
        found = [f"{name} was started {n} times" for name, n in self.starts.items() if n > self._starts_of(name)]  # fmt: skip
        found += [f"{len(won)} runs won the claim of {name}" for name, won in self.granted.items() if len(won) > 1]  # fmt: skip
        for job in jobs:
            found += [f"{job.uid}: {text}" for text in self._of(job)]
        return found + [f"left in the engine: {name}" for name in left]

    def _starts_of(self, attempt_id: str) -> int:
        """How often the engine may have started it."""
        return 1 + (self._lost[attempt_id] if self._replaces else 0)

    def _of(self, job: JobRecord) -> list[str]:
        if job.state not in FINAL:
            return [f"is still {job.state}: {job.detail}"]
        found: list[str] = []
        if job.attempt > 1 + self.harms[job.uid]:
            lost = job.attempt - 1 - self.harms[job.uid]
            found.append(f"{lost} healthy runs were given up")
        if job.job_id in self.cancelled:
            return found
        wanted = JobState.SUCCEEDED if self.plans[job.job_id] == "fine" else JobState.FAILED
        code = job.error.code if job.error else None
        if job.state is not wanted or code not in (None, "data_invalid"):
            found.append(f"ended as {job.state} ({code}: {job.detail}), its program {self.plans[job.job_id]}")  # fmt: skip
        return found
