"""What must hold when the last gateway was left alone: nothing acknowledged lost, nothing run twice, nothing left behind."""

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from faults.gateway_kills.clients import Asked, Clients
from faults.gateway_kills.trainer import claims, processes_of
from support.api import FINAL, Api

PATIENCE_S = 60.0


async def violations(
    home: Path, api: Api, clients: Clients, journal: Path, patience_s: float = PATIENCE_S
) -> list[str]:
    """Waits for the end of all jobs, then looks; sentences on what is wrong."""
    found = list(clients.wrong)
    records = await _all_over(api, clients, patience_s)
    for job_id, asked in clients.jobs.items():
        record = records.get(job_id)
        if record is None:
            found += [f"{job_id} was acknowledged and is lost"] if asked.acknowledged else []
            continue
        found += [f"{job_id} {text}" for text in _wrong_end(record, asked)]
        found += [f"{job_id} {text}" for text in _wrong_words(asked, record["status"])]
        found += [f"{job_id} {text}" for text in _wrong_log(await api.events(job_id))]
    found += _doubles(journal, records)
    return found + await _orphans(home, patience_s)


async def _all_over(api: Api, clients: Clients, patience_s: float) -> dict[str, dict[str, Any]]:
    """The jobs as they are once all have ended and told of it, or patience has."""
    end_s = time.monotonic() + patience_s
    records: dict[str, dict[str, Any]] = {}
    missing: set[str] = set()
    while True:
        for job_id in clients.jobs:
            if records.get(job_id, {}).get("status") in FINAL or job_id in missing:
                continue
            status, answer = await api.call("GET", f"/train/{job_id}")
            if status == 200:
                records[job_id] = answer
            else:
                missing.add(job_id)
        clients.listen()
        waiting = [r for j, r in records.items() if not clients.jobs[j].is_over]
        waiting += [r for r in records.values() if r["status"] not in FINAL]
        if not waiting or time.monotonic() > end_s:
            return records
        await asyncio.sleep(0.1)


def _wrong_end(record: dict[str, Any], asked: Asked) -> list[str]:
    found: list[str] = []
    allowed = {asked.wanted} if asked.wanted != "cancelled" else {"cancelled", "succeeded"}
    if record["status"] not in allowed:
        found.append(f"ended {record['status']}, not {asked.wanted}: {record['detail']}")
    if record["attempt"] > 1:
        found.append(f"was given {record['attempt']} attempts")
    return found


def _wrong_words(asked: Asked, status: str) -> list[str]:
    """Of the webhooks: the end is told, nothing behind it but itself."""
    finals = [told for told in asked.told if told in FINAL]
    if not finals:
        return ["never told of its end"]
    found = [] if set(finals) == {status} else [f"ended {status} and told of {finals}"]
    first = asked.told.index(finals[0])
    if set(asked.told[first:]) - FINAL:
        found.append(f"told in the wrong order: {asked.told}")
    return found


def _wrong_log(events: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    if [event["sequence"] for event in events] != list(range(1, len(events) + 1)):
        found.append("has a log with gaps")
    ends = [e for e in events if e["type"] == "job.status" and e["status"] in FINAL]
    if len(ends) != 1 or ends[0] is not events[-1]:
        found.append(f"ended {len(ends)} times, or went on afterwards")
    return found


def _doubles(journal: Path, records: dict[str, dict[str, Any]]) -> list[str]:
    """Claims that two runs won, and results that were published more than once."""
    runs: defaultdict[str, set[str]] = defaultdict(set)
    results: defaultdict[str, int] = defaultdict(int)
    for word, attempt_id, run_uid in claims(journal):
        uid = attempt_id.rpartition("-")[0]
        if word == "claimed":
            runs[uid].add(run_uid)
        else:
            results[uid] += 1
    found = [f"job {uid} was run by {len(names)}" for uid, names in runs.items() if len(names) > 1]
    found += [f"job {uid} published {n} results" for uid, n in results.items() if n > 1]
    succeeded = sum(record["status"] == "succeeded" for record in records.values())
    if len(results) < succeeded:
        found.append(f"{succeeded} jobs succeeded with {len(results)} results")
    return found


async def _orphans(home: Path, patience_s: float) -> list[str]:
    """Processes and run folders that are still there a minute after the end of their jobs."""
    end_s = time.monotonic() + patience_s
    runs = home / "state" / "runs"
    while True:
        processes = processes_of(home)
        folders = [path.name for path in runs.iterdir() if path.name.startswith("tg-")]
        if not processes and not folders:
            return []
        if time.monotonic() > end_s:
            return [f"left behind: {len(processes)} processes, {len(folders)} run folders"]
        await asyncio.sleep(0.2)
