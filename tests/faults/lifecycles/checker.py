"""What must hold after a simulated world has come to rest. An oracle of its own: it reads rows, not the code."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from faults.lifecycles.bucket import Bucket
from faults.lifecycles.engine import SimEngine
from faults.lifecycles.inline_store import InlineStore
from faults.lifecycles.receiver import SimReceiver

ENDED = {"succeeded", "failed", "cancelled"}
SLACK_MS = 60_000


@dataclass
class Evidence:
    """What the world saw happen beside the database."""

    accepted: dict[str, str] = field(default_factory=dict[str, str])
    """Jobs of which the client was told that they are stored: uid to job_id."""
    granted: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(attempt, run) for each claim that a trainer was granted and heard of."""
    ended_well: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """(uid, attempt) of each run that said that it is done, was heard, and left with 0."""
    ran_s: Counter[str] = field(default_factory=Counter[str])
    """By job: how long its trainers ran, from the claim on."""


def violations(
    store: InlineStore,
    evidence: Evidence,
    engine: SimEngine,
    bucket: Bucket,
    receiver: SimReceiver,
) -> list[str]:
    """One sentence for each."""
    rows = store.db.execute("SELECT uid, job_id, state, record, active FROM job").fetchall()
    jobs = {uid: msgspec.json.decode(record) | {"state": state, "active": active} for uid, _, state, record, active in rows}  # fmt: skip
    found = [f"{uid}: lost" for uid in evidence.accepted if uid not in jobs]
    found += [f"{name}: left in the engine" for name in engine.held]
    winners: dict[str, set[str]] = defaultdict(set)
    for attempt_id, run_uid in evidence.granted:
        winners[attempt_id].add(run_uid)
    found += [
        f"{a}: {len(runs)} runs won the claim" for a, runs in winners.items() if len(runs) > 1
    ]
    found += [
        f"{uid}: attempt {number} ended well and was given up"
        for uid, number in sorted(evidence.ended_well)
        if uid in jobs and jobs[uid]["attempt"] != number
    ]
    for uid, job in jobs.items():
        found += [f"{uid}: {fault}" for fault in _faults(store, uid, job, bucket)]
        if evidence.ran_s[uid] * 1000 > job["budget_ms"] + SLACK_MS:
            found.append(f"{uid}: ran {evidence.ran_s[uid]:.0f} s of {job['budget_ms'] / 1000:.0f}")
        found += [f"{uid}: {fault}" for fault in _told(job, receiver.taken.get(job["job_id"], []))]
    return found


def _faults(store: InlineStore, uid: str, job: dict[str, Any], bucket: Bucket) -> list[str]:
    if job["state"] not in ENDED:
        return [f"never ended ({job['state']})"]
    found: list[str] = []
    if job["active"]:
        found.append("something is left to tidy")
    ask = store.db.execute
    if ask("SELECT count(*) FROM sealed WHERE uid = ?", (uid,)).fetchall()[0][0]:
        found.append("secrets are left")
    if ask("SELECT count(*) FROM attempt WHERE uid = ? AND cleaned = 0", (uid,)).fetchall()[0][0]:
        found.append("a run was not cleaned up")
    events = ask("SELECT sequence, body FROM job_event WHERE uid = ? ORDER BY sequence", (uid,))
    log = [(sequence, msgspec.json.decode(body)) for sequence, body in events.fetchall()]
    if [sequence for sequence, _ in log] != list(range(1, job["last_sequence"] + 1)):
        found.append("the log has a gap")
    statuses = [event["status"] for _, event in log if event["type"] == "job.status"]
    if any(earlier in ENDED for earlier in statuses[:-1]):
        found.append(f"went on after its end: {statuses}")
    if not statuses or statuses[-1] != job["state"]:
        found.append(f"the log ends with {statuses[-1:]}, the job is {job['state']}")
    if Counter(statuses)[job["state"]] != 1:
        found.append("ended twice")
    return found + _result(job, uid, bucket)


def _result(job: dict[str, Any], uid: str, bucket: Bucket) -> list[str]:
    if job["state"] != "succeeded":
        return []
    manifest = bucket.manifests.get(uid)
    if manifest is None:
        return ["succeeded without a manifest"]
    if manifest.attempt != job["attempt"]:
        return [f"succeeded in attempt {job['attempt']} with the manifest of {manifest.attempt}"]
    return []


def _told(job: dict[str, Any], taken: list[tuple[int, str]]) -> list[str]:
    found: list[str] = []
    if any(late < early for (early, _), (late, _) in pairwise(taken)):
        found.append(f"webhooks out of order: {taken}")
    if not taken or taken[-1][1] != job["state"]:
        found.append(f"the receiver was told {taken[-1:]}, the job is {job['state']}")
    return found
