"""A real Kubernetes: `make engine-kubernetes` starts one and says so in the environment."""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.errors import ApiError
from tunegate.launchers.kube.settings import KubeSettings

NAMESPACE = "training"
IMAGE = "TUNEGATE_TEST_IMAGE"
ADMIN = "TUNEGATE_TEST_KUBECONFIG"
RELEASE = tuple(map(int, os.environ.get("TUNEGATE_TEST_KUBERNETES", "0.0").split(".")[:2]))
"""Of the server, major and minor."""
RBAC = Path(__file__).parents[3] / "deploy/kubernetes/rbac.yaml"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
}


@pytest.fixture(scope="session")
def admin() -> str:
    """The administrator's kubeconfig."""
    if ADMIN not in os.environ or IMAGE not in os.environ:
        pytest.skip("no Kubernetes was started for these tests: make engine-kubernetes")
    return os.environ[ADMIN]


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """A folder of the node that pods mount, for programs that leave marks."""
    folder = Path("/tmp/tunegate-shared")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kubeconfig(admin: str, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The gateway's own: it may do what deploy/kubernetes/rbac.yaml says, and nothing else."""
    token = asyncio.run(_prepare(admin, shared))
    config = yaml.safe_load(Path(admin).read_text())
    config["users"][0]["user"] = {"token": token}
    file = tmp_path_factory.mktemp("kube") / "kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


async def _prepare(admin: str, shared: Path) -> str:
    """Namespace, rights and a volume; returns the token of the gateway's account."""
    client = KubeClient(KubeSettings(namespace=NAMESPACE, kubeconfig=admin))
    try:
        for manifest in (_namespace(), *yaml.safe_load_all(RBAC.read_text()), *_volume(shared)):
            with suppress(ApiError):  # an earlier session made it
                await client.create(PATHS[manifest["kind"]], manifest, dict[str, Any])
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}  # fmt: skip
        path = f"{PATHS['ServiceAccount']}/tunegate/token"
        return (await client.create(path, asked, dict[str, Any]))["status"]["token"]
    finally:
        await client.close()


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _volume(folder: Path) -> list[dict[str, Any]]:
    room = {"storage": "1Gi"}
    shape: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": "by-hand"}
    volume = {**shape, "capacity": room, "hostPath": {"path": str(folder)}}
    claim = {**shape, "volumeName": "shared", "resources": {"requests": room}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "shared"}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"}, "spec": claim},
    ]  # fmt: skip
