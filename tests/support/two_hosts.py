"""Two hosts on this machine: network namespaces with names of their own, joined by a cable."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ADDRESSES = ("10.77.0.1", "10.77.0.2")
_OUTER = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child")
_SCRIPT = """
set -e
mount -t proc proc /proc
printf '127.0.0.1 localhost\\n{first} node1\\n{second} node2\\n' >"$1/hosts"
mount --bind "$1/hosts" /etc/hosts
shift
hostname node1
ip link set lo up
unshare --net --uts sleep infinity &
other=$!
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
ip link add cable type veth peer name cable netns "$other"
ip addr add {first}/24 dev cable
ip link set cable up
there() {{ nsenter -t "$other" --net --uts "$@"; }}
there hostname node2
there ip link set lo up
there ip addr add {second}/24 dev cable
there ip link set cable up
export WORLD_SIZE=2 MASTER_ADDR=node1 MASTER_PORT=29400
RANK=0 "$@" &
one=$!
RANK=1 there "$@" &
two=$!
worst=0
for task in "$one" "$two"; do wait "$task" || worst=$?; done
awk '/cable:/ {{ print $10 }}' /proc/self/net/dev
exit "$worst"
"""


def why_not() -> str | None:
    """Why there can be no two hosts here."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare and ip are not installed"
    script = "ip link add cable type veth peer name other && mount -t proc proc /proc"
    tried = subprocess.run([*_command(), "sh", "-c", script], capture_output=True, check=False)
    return None if tried.returncode == 0 else "network namespaces are not allowed here"


async def run_on_both(
    folder: Path, argv: Sequence[str], env: Mapping[str, str], timeout_s: float
) -> tuple[int, str, int]:
    """Run a command on both, with RANK, WORLD_SIZE and where to meet. The worse exit code, what was said, bytes over the cable."""
    folder.mkdir(parents=True, exist_ok=True)
    script = _SCRIPT.format(first=ADDRESSES[0], second=ADDRESSES[1])
    process = await asyncio.create_subprocess_exec(
        *_command(), "bash", "-c", script, "two-hosts", str(folder), *argv,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **env},
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    *said, sent = out.decode().rstrip("\n").split("\n")
    assert process.returncode is not None
    return process.returncode, "\n".join(said), int(sent)


def _command() -> list[str]:
    mapped = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [*_OUTER, *mapped]
