"""What must hold of everything that the chart runs, whatever the values."""

import json
from typing import Any

from chart.conftest import Manifest, Render, of_kind, pod_specs


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    pods = pod_specs(manifests)
    assert len(pods) >= 2
    for name, pod in pods.items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            assert not pod.get(host), name
        for volume in pod.get("volumes", []):
            assert "hostPath" not in volume, name
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in own, name


def test_only_the_gateway_may_speak_to_the_cluster(manifests: list[Manifest]) -> None:
    bound = bool(of_kind(manifests, "RoleBinding"))
    for name, pod in pod_specs(manifests).items():
        is_gateway = name.startswith("Deployment/")
        assert pod.get("automountServiceAccountToken", True) is (is_gateway and bound), name


def test_everything_has_limits(manifests: list[Manifest]) -> None:
    for name, pod in pod_specs(manifests).items():
        for container in containers(pod):
            resources = container["resources"]
            assert resources["requests"]["cpu"], name
            assert resources["limits"]["memory"], name


def test_everything_that_serves_is_probed(manifests: list[Manifest]) -> None:
    for kind in ("Deployment", "StatefulSet"):
        for manifest in of_kind(manifests, kind):
            for container in manifest["spec"]["template"]["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    gateway = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_stop_is_given_its_time(manifests: list[Manifest]) -> None:
    pod = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]
    drain_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= drain_s + 20 + 10


def test_credentials_stand_in_secrets_alone(render: Render) -> None:
    manifests = render("--set", "database.kind=bundled,replicas=2")
    made = [value for secret in of_kind(manifests, "Secret") for value in secret["data"].values()]
    plain = json.dumps([m for m in manifests if m["kind"] != "Secret"])
    assert len(made) == 4
    assert not any(value in plain for value in made)
    for pod in pod_specs(manifests).values():
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = any(word in variable["name"] for word in ("TOKEN", "PASSWORD", "URL"))
                assert ("valueFrom" in variable) is secret, variable["name"]


def test_the_gateway_may_do_little(manifests: list[Manifest]) -> None:
    assert of_kind(manifests, "ClusterRole") == []
    for role in of_kind(manifests, "Role"):
        for rule in role["rules"]:
            assert "*" not in json.dumps(rule)
            resources = set(rule["resources"])
            if "secrets" in resources:
                assert rule["verbs"] == ["create"]
            assert not resources & {
                "pods/exec",
                "pods/attach",
                "pods/portforward",
                "nodes",
                "roles",
            }


def test_nobody_is_let_in_or_out_by_default(manifests: list[Manifest]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    assert policies
    for policy in policies:
        spec = policy["spec"]
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        assert spec["podSelector"].get("matchLabels"), "a policy for every pod of the namespace"
        for rule in spec.get("ingress", []):
            assert rule.get("from"), policy["metadata"]["name"]
        for rule in spec.get("egress", []):
            assert rule.get("ports") or rule.get("to"), policy["metadata"]["name"]
            for peer in rule.get("to", []):
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert peer["ipBlock"]["except"] == ["169.254.0.0/16"]


def test_each_pod_is_covered_by_a_policy(manifests: list[Manifest]) -> None:
    chosen = [p["spec"]["podSelector"]["matchLabels"] for p in of_kind(manifests, "NetworkPolicy")]
    for kind in ("Deployment", "StatefulSet", "Job"):
        for manifest in of_kind(manifests, kind):
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            assert any(wanted.items() <= labels.items() for wanted in chosen), kind


def test_services_choose_gateways_alone(manifests: list[Manifest]) -> None:
    """The pod that migrates and the one that tests carry the release's labels too."""
    gateway = of_kind(manifests, "Deployment")[0]["spec"]["template"]["metadata"]["labels"]
    service = next(s for s in of_kind(manifests, "Service") if s["spec"]["ports"][0]["name"] == "http")  # fmt: skip
    wanted = service["spec"]["selector"].items()
    assert wanted <= gateway.items()
    for manifest in manifests:
        if manifest["kind"] in ("Job", "Pod", "StatefulSet"):
            source: Any = manifest["spec"].get("template", manifest)
            assert not wanted <= source["metadata"]["labels"].items()


def test_what_holds_promises_outlives_the_release(render: Render) -> None:
    for manifest in of_kind(render(), "PersistentVolumeClaim"):
        assert manifest["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for secret in of_kind(render("--set", "database.kind=bundled"), "Secret"):
        kept = "helm.sh/resource-policy" in secret["metadata"].get("annotations", {})
        assert kept is not secret["metadata"]["name"].endswith("-auth")
    own = render("--set", "runs.namespace=training,runs.createNamespace=true")
    (namespace,) = of_kind(own, "Namespace")
    assert namespace["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
