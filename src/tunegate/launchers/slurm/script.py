"""The batch script. Pure; it holds no secret.

Every program is a step of `srun`, one task for each node, in which the trainer starts one process for each GPU: then Slurm
knows all its processes, signals reach them, and none is left behind.
"""

import shlex
from pathlib import Path

from tunegate.contract.training import PROCESSES
from tunegate.launchers.slurm.runtime import imports, program, srun_flags, work_folder
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import WORK, node_env

_HEAD = """\
#!/bin/bash
# A run of tunegate. Whatever was submitted by this name, the program is started once: who makes the folder may.
umask 077
cd {folder} || exit 78
mkdir started 2>/dev/null || exit 78
printf '%s\\n' "$SLURM_JOB_ID" >started/job

leave() {{  # the exit code outlives Slurm's own memory of the job
    printf '%s\\n' "$1" >exit.new && mv exit.new exit
    exit "$1"
}}
[ -e stop.json ] && leave 77
"""
_TAIL = """\
step=$!
heard=
# A wish to stop is found here: what slurmrestd sends reaches srun too, which then kills the program.
(while sleep 1; do [ -e stop.json ] && {{ scancel --signal=TERM "$SLURM_JOB_ID"; break; }}; done) &
watch=$!
# Slurm warns the batch script before the time limit; the program is in a step, which must hear it too.
trap 'heard=1; scancel --signal=TERM "$SLURM_JOB_ID"' TERM
while :; do
    wait "$step"
    code=$?
    [ -n "$heard" ] || break
    heard=
    kill -0 "$step" 2>/dev/null || {{ wait "$step"; last=$?; [ "$last" = 127 ] || code=$last; break; }}
done
kill "$watch" 2>/dev/null
leave "$code"
"""


def batch_script(run: Run, settings: SlurmSettings, folder: Path, gres: str | None) -> str:
    """`folder` is the run's own on the shared file system."""
    files, work = str(folder / "files"), str(folder / "work")
    lines = [_HEAD.format(folder=shlex.quote(str(folder)))]
    lines += [_export(name, value) for name, value in sorted(_env(run, settings, work).items())]
    lines += _place(run)
    lines += ["", *settings.setup] if settings.setup else []
    if fetch := imports(run, settings, work):
        lines.append(f"{shlex.join(fetch)} || leave 1")
    lines += ["", f"{_srun(run, settings, files, work, gres)} &"]
    return "\n".join(lines) + "\n" + _TAIL.format()


def _srun(run: Run, settings: SlurmSettings, files: str, work: str, gres: str | None) -> str:
    wanted = run.container.resources
    flags = [
        f"--nodes={wanted.nodes}", f"--ntasks={wanted.nodes}", "--ntasks-per-node=1",
        f"--cpus-per-task={wanted.cpus}", *([f"--gres={gres}"] if gres else []),
        "--kill-on-bad-exit=1", "--input=none", "--export=ALL", *srun_flags(run, settings, files, work),
    ]  # fmt: skip
    argv = program(run, settings, files, work)
    if wanted.nodes > 1:
        argv = ["bash", "-c", 'export RANK="$SLURM_PROCID"; exec "$@"', "task", *argv]
    return f"srun {shlex.join(flags)} \\\n    {shlex.join(argv)}"


def _env(run: Run, settings: SlurmSettings, work: str) -> dict[str, str]:
    resources = run.container.resources
    ours = {PROCESSES: str(max(1, resources.gpus)), WORK: work_folder(settings, work)}
    return {"OMP_NUM_THREADS": str(resources.cpus), **run.container.env, **ours}


def _place(run: Run) -> list[str]:
    """The batch script runs on the first node, which is where rank 0 will listen."""
    if run.container.resources.nodes == 1:
        return []
    names = node_env(run, rank="", master_addr="", master_port=0)
    return [
        f'export WORLD_SIZE={names["WORLD_SIZE"]} MASTER_ADDR="$(hostname)"',
        'export MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"',
    ]


def _export(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"
