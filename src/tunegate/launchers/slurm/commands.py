"""`SlurmCommands`: sbatch, squeue, scancel, and sacct where there is accounting.

squeue is asked for columns of fixed width: its JSON of 22.05 ignores all filters and holds every job of the cluster.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunegate.launchers.slurm.api import SlurmApi, trouble
from tunegate.launchers.slurm.job import SlurmJob
from tunegate.launchers.slurm.process import Output, run_command
from tunegate.launchers.slurm.request import JobRequest
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.launchers.slurm.states import normal
from tunegate.sdk.launcher import EngineUnavailable

AT_ONCE = 4
"""Commands that may run at a time: every one of them is a visitor to the controller."""
NAMES_PER_CALL = 200
COLUMNS = {
    "JobID": 20, "Name": 66, "UserName": 66, "State": 24, "Reason": 80, "SubmitTime": 24, "exit_code": 14,
    "NodeList": 100, "Comment": 80,
}  # fmt: skip


class SlurmCommands(SlurmApi):
    """Times are asked for in UTC."""

    def __init__(
        self, settings: SlurmSettings, user: str, gateway_env: Mapping[str, str] = os.environ
    ) -> None:
        self._settings = settings
        self._user = user
        self._env = _environment(settings, gateway_env)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._accounting = True

    async def jobs(self, names: Sequence[str] | None) -> list[SlurmJob]:
        """Those of 200 names a call."""
        if names is None:
            return await self._list([])
        found: list[SlurmJob] = []
        for start in range(0, len(names), NAMES_PER_CALL):
            some = names[start : start + NAMES_PER_CALL]
            found += await self._list([f"--name={','.join(some)}"])
        return found

    async def submit(self, request: JobRequest) -> int:
        argv = submission(request, f"{request.folder}/batch.sh")
        done = await self._run("sbatch", *argv, env=request.env)
        if done.code != 0:
            raise trouble(_message(done))
        try:
            return int(done.out.strip().split(";")[0])
        except ValueError:
            raise EngineUnavailable("sbatch did not give the number of the job") from None

    async def kill(self, job: SlurmJob) -> None:
        """The name goes with the number, which may be another job's by now."""
        done = await self._run(
            "scancel", f"--user={self._user}", f"--name={job.name}", str(job.job_id)
        )
        if done.code != 0 and "invalid job id" not in done.err.lower():
            raise EngineUnavailable(f"scancel: {_message(done)}")

    async def accounted(self, names: Sequence[str], since_s: int) -> list[SlurmJob]:
        """Empty where there is no accounting."""
        if not self._accounting:
            return []
        since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fields = "JobIDRaw,JobName,User,State,ExitCode,Submit,Comment"
        done = await self._run(
            *("sacct", "--allocations", "--noheader", "--parsable2", "--duplicates", f"--starttime={since}"),
            *(f"--user={self._user}", f"--name={','.join(names)}", f"--format={fields}"),
        )  # fmt: skip
        if done.code != 0:
            self._accounting = "storage is disabled" not in done.err.lower()
            return []
        return list(accounted_jobs(done.out))

    async def _list(self, filters: Sequence[str]) -> list[SlurmJob]:
        wanted = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
        done = await self._run(
            *("squeue", "--noheader", "--states=all", f"--user={self._user}"),
            *(*filters, f"--Format={wanted}"),
        )
        if done.code != 0:
            raise EngineUnavailable(f"squeue: {_message(done)}")
        return list(listed_jobs(done.out))

    async def _run(self, program: str, *argv: str, env: Mapping[str, str] | None = None) -> Output:
        folder = self._settings.bin_dir
        path = str(Path(folder) / program) if folder else program
        async with self._turns:
            return await run_command(
                [path, *argv], self._env | dict(env or {}), self._settings.timeout_s
            )


def submission(request: JobRequest, script: str) -> list[str]:
    """The arguments of sbatch; nothing of them is secret."""
    options: dict[str, Any] = {
        "job-name": request.name, "comment": request.comment, "chdir": request.folder, "output": request.output,
        "open-mode": "append", "nodes": request.nodes, "ntasks": request.nodes, "ntasks-per-node": 1,
        "cpus-per-task": request.cpus, "time": request.time_limit_min, "signal": f"B:TERM@{request.warn_s}",
        "mem": None if request.memory_mb is None else f"{request.memory_mb}M", "gres": request.gres,
        "partition": request.partition, "account": request.account, "qos": request.qos,
        "constraint": request.constraint, "nodelist": request.nodelist, "exclude": request.exclude,
        "reservation": request.reservation, "licenses": request.licenses, "nice": request.nice,
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    exclusive = ["--exclusive"] if request.exclusive else []
    return ["--parsable", "--no-requeue", "--export=PATH,LANG", *given, *exclusive, script]


def listed_jobs(text: str) -> Iterator[SlurmJob]:
    """Lines of squeue."""
    for line in text.splitlines():
        row: dict[str, str] = {}
        start = 0
        for name, width in COLUMNS.items():
            row[name] = line[start : start + width].strip()
            start += width
        if not row["JobID"].isdigit():
            continue
        code, signal = wait_status(_number(row["exit_code"]))
        yield SlurmJob(
            job_id=int(row["JobID"]), name=row["Name"], user=row["UserName"], comment=row["Comment"],
            states=normal([row["State"]]), submitted_s=_seconds(row["SubmitTime"]), reason=row["Reason"],
            exit_code=code, signal=signal, nodes=row["NodeList"],
        )  # fmt: skip


def accounted_jobs(text: str) -> Iterator[SlurmJob]:
    """Lines of sacct."""
    for line in text.splitlines():
        cells = line.split("|", 6)
        if len(cells) != 7 or not cells[0].isdigit():
            continue
        number, name, user, state, exit_code, submitted, comment = cells
        code, _, signal = exit_code.partition(":")
        yield SlurmJob(
            job_id=int(number), name=name, user=user, comment=comment, states=normal([state]),
            submitted_s=_seconds(submitted), exit_code=_number(code), signal=_number(signal) or None,
        )  # fmt: skip


def wait_status(status: int) -> tuple[int | None, int | None]:
    """`768` is exit code 3, `9` is signal 9: what wait(2) gave."""
    signal = status & 0x7F
    return (None, signal) if signal else (status >> 8, None)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _seconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def _message(done: Output) -> str:
    lines = [line for line in (done.err or done.out).splitlines() if line.strip()]
    said = [line.split("error:", 1)[-1].strip() for line in lines]
    return "; ".join(said) or f"exit code {done.code} without a word"


def _environment(settings: SlurmSettings, gateway_env: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the gateway's own but what the commands need: SBATCH_ variables would change jobs, secrets leak."""
    kept = {
        n: gateway_env[n] for n in ("HOME", "USER", "LOGNAME", "SLURM_CONF") if n in gateway_env
    }
    env = kept | {"PATH": gateway_env.get("PATH", settings.path), "LANG": "C.UTF-8", "TZ": "UTC"}
    return env | ({"SLURM_CONF": settings.slurm_conf} if settings.slurm_conf else {})
