"""The result of an echo: one small file and its manifest, where the output is a folder of this machine."""

import hashlib
import json
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path


def publish(output_uri: str, job_id: str, attempt: int, fence: int) -> tuple[str, str]:
    """Write result.json, then manifest.json; returns the manifest's address and SHA-256 (hex).

    Nothing is written to other places than `file://` and plain paths: the manifest is then missing, and the gateway
    will say so.
    """
    result = json.dumps({"job_id": job_id, "echo": True}).encode()
    name, size, digest = "result.json", len(result), hashlib.sha256(result).hexdigest()
    manifest = json.dumps(
        {
            "job_id": job_id,
            "attempt": attempt,
            "fence": fence,
            "created_at": datetime.now(UTC).isoformat(),
            "files": [{"path": name, "size_bytes": size, "sha256": digest}],
            "version": 1,
        }
    ).encode()
    folder = _folder(output_uri)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(result)
        (folder / "manifest.json").write_bytes(manifest)
    return f"{output_uri}manifest.json", hashlib.sha256(manifest).hexdigest()


def _folder(output_uri: str) -> Path | None:
    parts = urllib.parse.urlsplit(output_uri)
    if parts.scheme not in {"", "file"}:
        return None
    return Path(urllib.parse.unquote(parts.path))
