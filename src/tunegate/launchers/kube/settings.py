"""What the operator says of a cluster and of every pod in it."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from tunegate.contract.base import Strict

Seconds = Annotated[float, Meta(gt=0)]
Taint = dict[str, str | int]


class KubeSettings(Strict, kw_only=True):
    """Where the cluster is, and what every run's pods get in it."""

    kubeconfig: str | None = None
    """A kubeconfig file; without one the service account of the gateway's own pod is used, else ~/.kube/config."""
    context: str | None = None
    """A context of the kubeconfig other than its current one."""
    namespace: str
    """Where the runs live. The gateway needs the rights of deploy/kubernetes/rbac.yaml in it."""
    instance: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "tunegate"
    """Label that tells this gateway's runs from another's: gateways that share a namespace need one each."""
    request_timeout_s: Seconds = 20.0
    """The longest that one call of the API may take."""
    resync_s: Seconds = 30.0
    """How old the picture of the cluster may grow before it is asked for anew, whatever the watches say."""
    start_deadline_s: Seconds = 900.0
    """How long a pod that has its node may fail to start (an image that can't be pulled) until the run counts as failed."""

    gpu_resource: str = "nvidia.com/gpu"
    """The name that the device plugin counts GPUs under."""
    gpu_types: dict[str, dict[str, str]] = {}
    """Labels of the nodes that have a `gpu_type`, by type: A100 = {"nvidia.com/gpu.product" = "NVIDIA-A100-SXM4-80GB"}."""
    gpus_per_node: Annotated[int, Meta(ge=0)] | None = None
    """The most GPUs of any node; jobs that ask for more are refused at once. None = leave it to the scheduler."""
    node_selector: dict[str, str] = {}
    """Labels of the nodes that runs may use."""
    tolerations: list[Taint] = []
    """Taints that every run tolerates, as in a pod: {key = "gpu", operator = "Exists", effect = "NoSchedule"}."""
    tolerable_taints: list[str] = []
    """Keys of taints that users may tolerate on their own by `tolerations`."""
    queue: str | None = None
    """The Kueue LocalQueue of jobs that name none."""
    queues: list[str] | None = None
    """The queues that users may name; None = any."""
    priority_class: str | None = None
    """The priority class of jobs that name none."""
    priorities: list[str] = []
    """The priority classes that users may name by `priority`."""
    runtime_class: str | None = None
    service_account: str | None = None
    """Of the pods, for the cluster's own bookkeeping; its token is never mounted."""
    image_pull_secrets: list[str] = []
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    labels: dict[str, str] = {}
    """Further labels of the pods."""
    annotations: dict[str, str] = {}
    """Further annotations of the pods."""
    env: dict[str, str] = {}
    """Further variables of the trainers (proxies, NCCL); never a secret: whoever may read pods reads them."""
    run_as_user: Annotated[int, Meta(ge=1)] = 10001
    """User and group of the trainer; not root."""
    cache_claim: str | None = None
    """A PersistentVolumeClaim for downloaded models, shared by all runs; its access mode must fit the number of nodes."""
    cache_folder: str = "/tunegate/cache"
    """Where it is mounted; HF_HOME points there."""
    shm_gb: Annotated[int, Meta(ge=1)] | None = None
    """Size of /dev/shm, which counts as memory. None = as much of the memory as is used."""
    work_gb: Annotated[int, Meta(ge=1)] | None = None
    """Limit of the run's own disk, above which the node evicts it. None = what the node has."""
    cpu_limit: bool = False
    """Hold trainers to the CPUs that they asked for; otherwise they may use what lies idle."""


def as_manifest(taint: Taint) -> dict[str, Any]:
    """A toleration as the API takes it."""
    return dict(taint)
