"""Pod Security Standard `restricted`, checked by rules of its own over runs, settings and wishes of any kind."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunegate.contract.container import ContainerFile, ContainerSpec, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.launchers.kube.options import PodOptions, Toleration
from tunegate.launchers.kube.pod import pod_template
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.launcher import Run

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}  # fmt: skip
WORD = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TEXT = st.text(max_size=20)


def problems_of(spec: dict[str, Any]) -> list[str]:
    """What the standard forbids (v1.33), and what ours forbids beyond it."""
    found: list[str] = []

    def check(holds: bool, what: str) -> None:
        if not holds:
            found.append(what)

    for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "ephemeralContainers"):
        check(not spec.get(key), key)
    check(spec.get("automountServiceAccountToken") is False, "the cluster's token")
    pod = spec.get("securityContext", {})
    check(pod.get("runAsNonRoot") is True, "runAsNonRoot")
    check(pod.get("runAsUser", 1) != 0, "runAsUser")
    check(pod.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"), "seccomp")
    check(not pod.get("sysctls"), "sysctls")
    for volume in spec.get("volumes", ()):
        (kind,) = volume.keys() - {"name"}
        check(kind in VOLUMES, f"volume {kind}")
        for source in volume.get("projected", {}).get("sources", ()):
            check("serviceAccountToken" not in source, "the cluster's token")
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        security = container.get("securityContext", {})
        check(security.get("allowPrivilegeEscalation") is False, "allowPrivilegeEscalation")
        check(not security.get("privileged"), "privileged")
        check("ALL" in security.get("capabilities", {}).get("drop", ()), "capabilities")
        check(not security.get("capabilities", {}).get("add"), "capabilities")
        check(security.get("readOnlyRootFilesystem") is True, "root file system")
        check(security.get("runAsUser", 1) != 0 and security.get("runAsNonRoot", True), "root")
        check(security.get("procMount", "Default") == "Default", "procMount")
        check(not any(port.get("hostPort") for port in container.get("ports", ())), "hostPort")
    return found


@st.composite
def settings(draw: st.DrawFn) -> KubeSettings:
    return KubeSettings(
        namespace="default",
        run_as_user=draw(st.integers(1, 2**31 - 1)),
        service_account=draw(st.none() | WORD),
        cache_claim=draw(st.none() | WORD),
        runtime_class=draw(st.none() | WORD),
        priority_class=draw(st.none() | WORD),
        labels=draw(st.dictionaries(WORD, WORD, max_size=2)),
        annotations=draw(st.dictionaries(WORD, TEXT, max_size=2)),
        env=draw(st.dictionaries(WORD, TEXT, max_size=2)),
        tolerations=draw(st.lists(st.fixed_dictionaries({"key": WORD}), max_size=2)),
        node_selector=draw(st.dictionaries(WORD, WORD, max_size=2)),
        cpu_limit=draw(st.booleans()),
        shm_gb=draw(st.none() | st.integers(1, 9)),
        work_gb=draw(st.none() | st.integers(1, 9)),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    return Run(
        name=draw(WORD),
        job_id=draw(TEXT),
        attempt=draw(st.integers(1, 99)),
        attempt_id=draw(WORD),
        container=ContainerSpec(
            image=draw(st.text(min_size=1, max_size=20)),
            command=draw(st.lists(TEXT, min_size=1, max_size=3)),
            env=draw(st.dictionaries(st.text(min_size=1, max_size=9), TEXT, max_size=3)),
            labels=draw(st.dictionaries(TEXT, TEXT, max_size=3)),
            resources=ResourceRequest(gpus=draw(st.integers(0, 8)), nodes=draw(st.integers(1, 4))),
            files=[ContainerFile(path="job.json", content=draw(TEXT))],
        ),
        gateway_url="http://gateway",
        claim_token=Secret("canary-of-the-claim"),
    )


OPTIONS = st.builds(
    PodOptions,
    queue=st.none() | WORD,
    priority=st.none() | WORD,
    node_selector=st.dictionaries(WORD, WORD, max_size=2),
    tolerations=st.lists(st.builds(Toleration, key=WORD), max_size=2),
)


@given(runs(), settings(), OPTIONS)
def test_every_pod_is_restricted(run: Run, settings: KubeSettings, options: PodOptions) -> None:
    template = pod_template(run, settings, options)
    assert problems_of(template["spec"]) == []
    assert "canary-of-the-claim" not in repr(template)


@given(runs())
def test_the_rules_see_what_is_forbidden(run: Run) -> None:
    for spoil in (
        lambda spec: spec.update(hostNetwork=True),
        lambda spec: spec["securityContext"].pop("seccompProfile"),
        lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
        lambda spec: spec["containers"][0]["securityContext"].update(privileged=True),
        lambda spec: spec.pop("automountServiceAccountToken"),
    ):
        spec = pod_template(run, KubeSettings(namespace="default"), PodOptions())["spec"]
        spoil(spec)
        assert problems_of(spec)
