"""A network of its own in which every address is this machine's, so that whatever is dialled answers and is counted."""

import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

NAME_SERVER = "9.9.9.9"
OWN = ("4.4.4.4", "2600::4")
"""What packets come from."""
_OUTGOING = 4
_NAMESPACES = ("unshare", "--net", "--mount")


def why_not() -> str | None:
    """Why no namespace can be made here."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare and ip are not installed"
    script = "ip link set lo up && ip route add local 0.0.0.0/0 dev lo"
    tried = subprocess.run([*command(), "sh", "-c", script], capture_output=True, check=False)
    return None if tried.returncode == 0 else "network namespaces are not allowed here"


def command() -> list[str]:
    """What to put before a command that shall run in a namespace of its own."""
    return [*_NAMESPACES, *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def prepare() -> None:
    """Inside: routes that make every address local, and our own name server."""
    for line in (
        "link set lo up",
        f"addr add {OWN[0]}/32 dev lo",
        f"-6 addr add {OWN[1]}/128 dev lo nodad",
        f"route add local 0.0.0.0/0 dev lo src {OWN[0]}",
        f"-6 route add local ::/0 dev lo src {OWN[1]}",
    ):
        subprocess.run(["ip", *line.split()], check=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    Path(file.name).chmod(0o644)
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)


class Packets:
    """First packets of TCP connections, and all others, by the address that they go to."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.bind(("lo", 3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24)
        self._socket.setblocking(False)

    def take(self) -> list[str]:
        """Where packets went since the last time: ADDRESS/PROTOCOL/PORT. Raises RuntimeError when some were missed."""
        found: list[str] = []
        while select.select([self._socket], [], [], 0)[0]:
            data, (_, ethertype, direction, *_) = self._socket.recvfrom(256)
            if direction == _OUTGOING and (place := _place(data, ethertype)) is not None:
                found.append(place)
        # struct tpacket_stats: packets, drops; reading it resets both.
        _, drops = struct.unpack("II", self._socket.getsockopt(263, 6, 8))
        if drops:
            raise RuntimeError(f"{drops} packets were not seen")
        return found


def _place(data: bytes, ethertype: int) -> str | None:
    if ethertype == 0x0800:
        protocol, to, rest = data[9], IPv4Address(data[16:20]), data[(data[0] & 15) * 4 :]
    elif ethertype == 0x86DD:
        protocol, to, rest = data[6], IPv6Address(data[24:40]), data[40:]
    else:
        return None
    if protocol == socket.IPPROTO_TCP and (rest[13] & 0x12) != 0x02:
        return None  # no SYN, or the answer to one
    return f"{to}/{protocol}/{int.from_bytes(rest[2:4])}"


def run_inside(module: str, *arguments: str, timeout_s: float) -> str:
    """The output of `python -m MODULE ARGUMENTS` in a namespace. Raises CalledProcessError."""
    done = subprocess.run(
        [*command(), sys.executable, "-m", module, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_s,
        check=True,
    )
    return done.stdout
