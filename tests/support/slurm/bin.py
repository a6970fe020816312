"""Stand-ins for the commands that batch scripts call on a node."""

from pathlib import Path

SRUN = """\
#!/bin/bash
# As many tasks as asked for, on this machine; SIGTERM goes on to them.
tasks=1
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
echo $$ >"$0.$SLURM_JOB_ID"
for ((n = 0; n < tasks; n++)); do
    SLURM_PROCID=$n "$@" &
    started+=($!)
done
trap 'kill -TERM "${started[@]}" 2>/dev/null' TERM
worst=0
for task in "${started[@]}"; do
    while wait "$task"; code=$?; kill -0 "$task" 2>/dev/null; do :; done
    wait "$task"; again=$?
    [ "$again" = 127 ] || code=$again
    [ "$code" -gt "$worst" ] && worst=$code
done
exit "$worst"
"""
SCANCEL = """\
#!/bin/bash
# scancel --signal=TERM <job>: to its step.
read -r step <"${0%scancel}srun.$2" && kill -TERM "$step" 2>/dev/null
"""


def install(folder: Path, **commands: str) -> Path:
    """A folder for the PATH; `commands` outdo the usual ones."""
    folder.mkdir(parents=True)
    for name, text in ({"srun": SRUN, "scancel": SCANCEL} | commands).items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
