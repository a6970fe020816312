"""An upgrade from a released chart changes nothing that Kubernetes does not let change, and loses no volume."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.conftest import Manifest, Render

RELEASED = sorted((Path(__file__).parent / "released").glob("*/*.yaml"))
VALUES = Path(__file__).parent / "values"


def fixed_parts(manifest: Manifest) -> dict[str, Any]:
    """What may never change while the object lives."""
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Deployment":
            return {"selector": spec["selector"]}
        case "StatefulSet":
            names = ("selector", "serviceName", "volumeClaimTemplates")
            return {name: spec[name] for name in names}
        case "Service":
            return {"headless": spec.get("clusterIP") == "None"}
        case "PersistentVolumeClaim":
            return {"accessModes": spec["accessModes"], "class": spec.get("storageClassName")}
        case "RoleBinding":
            return {"roleRef": manifest["roleRef"]}
        case _:
            return {}


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {
        (m["kind"], m["metadata"]["name"]): m
        for m in manifests
        if "helm.sh/hook" not in m["metadata"].get("annotations", {})
    }


@pytest.mark.parametrize("released", RELEASED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_from(released: Path, render: Render) -> None:
    before = by_name([m for m in yaml.safe_load_all(released.read_text()) if m])
    after = by_name(render("--values", str(VALUES / released.name)))
    for key, manifest in before.items():
        if fixed := fixed_parts(manifest):
            assert key in after, f"{key} would be removed"
            assert fixed_parts(after[key]) == fixed


def test_a_changed_selector_is_seen(render: Render) -> None:
    values = str(VALUES / "default.yaml")
    before, after = by_name(render("--values", values)), by_name(render("--values", values))
    key = next(key for key in after if key[0] == "Deployment")
    after[key]["spec"]["selector"]["matchLabels"]["app.kubernetes.io/version"] = "2"
    assert fixed_parts(before[key]) != fixed_parts(after[key])
