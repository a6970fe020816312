"""The ConfigMap and the Secret of a run, which are mounted as one folder. Pure."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from tunegate.launchers.kube.names import annotations, labels
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import LaunchRefused, Run
from tunegate.sdk.run_files import public_files, secret_files

LARGEST_BYTES = 1_000_000
"""An object ends at 1 MiB, its metadata included."""


def owner(kind: str, api_version: str, name: str, uid: str) -> dict[str, Any]:
    """An owner reference: the object goes with its owner, and before it where that is removed in the foreground."""
    return {
        "apiVersion": api_version, "kind": kind, "name": name, "uid": uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def config_map(run: Run, settings: KubeSettings, owners: list[dict[str, Any]]) -> dict[str, Any]:
    """All files but the secret one. Raises LaunchRefused where they are too large."""
    files = public_files(run)
    if sum(map(len, files.values())) > LARGEST_BYTES:
        raise LaunchRefused("the job's files are larger than the 1 MB that a ConfigMap holds")
    data = {key: files[path].decode() for key, path in keys(files).items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(run, settings, owners),
        "data": data,
    }


def secret(run: Run, settings: KubeSettings, owners: list[dict[str, Any]]) -> dict[str, Any]:
    """The claim token. Not part of what `render` shows."""
    files = secret_files(run)
    data = {key: base64.b64encode(files[path]).decode() for key, path in keys(files).items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _metadata(run, settings, owners),
        "data": data,
    }


def folder_volume(run: Run, name: str) -> dict[str, Any]:
    """The projected volume of both, readable by the trainer's group alone."""
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {"configMap": {"name": run.name, "items": _items(public_files(run))}},
                {"secret": {"name": run.name, "items": _items(secret_files(run))}},
            ],
        },
    }


def keys(paths: Iterable[str]) -> dict[str, str]:
    """Key → path within the folder. Keys take no slash, so they are numbered where a path has one."""
    return {
        (f"{number}-{path.rpartition('/')[2]}" if "/" in path else path): path
        for number, path in enumerate(sorted(paths))
    }


def _items(files: Mapping[str, bytes]) -> list[dict[str, str]]:
    return [{"key": key, "path": path} for key, path in keys(files).items()]


def _metadata(run: Run, settings: KubeSettings, owners: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": run.name,
        "labels": labels(run, settings),
        "annotations": annotations(run),
        "ownerReferences": owners,
    }
