"""`[launchers.ray]` of the operator's configuration."""

from typing import Annotated, Any

from msgspec import Meta, field

from tunegate.contract.base import Strict

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0)]

PASSED_ON = (
    "CUDA_*", "HF_HOME", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "NCCL_*", "NO_PROXY",
    "NVIDIA_*", "PATH", "ROCR_*", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER",
)  # fmt: skip


class RaySettings(Strict):
    """`address` must be given; the rest fits a cluster whose nodes have the trainer installed beside Ray."""

    address: Annotated[str, Meta(pattern=r"^https?://[^/\s]+(/.*)?$")] | None = None
    """Of the dashboard, which serves the Jobs API: `http://ray-head:8265`. Whoever reaches it without a token may run
    anything on the cluster: switch on Ray's token authentication, and use https where the network is not your own."""
    token_file: str | None = None
    """A file that holds the cluster's token (RAY_AUTH_MODE=token); it is read anew when Ray refuses the one in use."""
    ca_file: str | None = None
    """Certificates that the dashboard's own is checked against; None = the system's."""
    instance: Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "tunegate"
    """Tells this gateway's runs from another's: gateways that share a cluster need one each."""
    timeout_s: Seconds = 20.0
    """For one call of the API."""

    driver_python: str = "python"
    """Interpreter of the drivers, which has Ray; `python` is the one of an activated environment or of Ray's images."""
    driver_cpus: Amount = 0.0
    """CPUs that a driver takes. A driver waits for its nodes, copies the log and uses 100 MB or so. With none of these three
    all drivers are on the head node, as is Ray's habit."""
    driver_resources: dict[str, Amount] = {}
    """Custom resources that a driver takes, to place it: `{head = 0.01}`."""
    driver_labels: dict[str, str] = {}
    """Labels of the nodes that drivers may use; Ray 2.49 or newer."""
    runtime_env: dict[str, Any] = {}
    """Ray's runtime environment of driver and runs: `{pip = ["tunegate[trainer]==0.1.0"]}`, or `{image_uri = "…"}`. Never a
    secret: whoever may see the cluster's jobs sees it."""

    python: str | None = None
    """Interpreter of the runs, which has the trainer; None = that of Ray's workers."""
    env: dict[str, str] = {}
    """Further variables of the runs."""
    pass_env: list[str] = field(default_factory=lambda: list(PASSED_ON))
    """Variables of the nodes that runs get, as patterns. Not among them: RAY_*, which hold the cluster's token."""
    work_dir: str | None = None
    """A folder of the nodes for the runs' scratch files; None = the system's for temporary ones."""

    gpu_types: dict[str, str] = {}
    """`gpu_type` of a job → the resource that nodes with it have; none named: Ray's own `accelerator_type:TYPE`."""
    gpus_per_node: Annotated[int, Meta(ge=0)] | None = None
    """The most that a node has, to refuse jobs that could never start."""
    max_nodes: Count | None = None
    """The most that a job may have."""
    ask_memory: bool = True
    """Ask Ray for the memory that a job names. Ray counts it and holds nobody to it."""
    node_selector: dict[str, str] = {}
    """Labels of the nodes that runs may use; Ray 2.49 or newer."""
    custom_resources: list[str] | None = []
    """Custom resources that jobs may ask for by `custom_resources`; None = any."""

    queue_depth: Count = 16
    """Runs that may wait in Ray at a time, each with a driver; the gateway keeps the rest."""
    margin_s: Seconds = 60.0
    """Between the job's own end and the driver's, which is a backstop."""
