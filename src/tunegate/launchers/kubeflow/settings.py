"""`[launchers.kubeflow]` of the operator's configuration."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.launchers.kube.settings import KubeSettings

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]


class KubeflowSettings(KubeSettings, kw_only=True):
    """Where the cluster is, what every run's pods get in it, and the training runtime that they are made from."""

    runtime: Name = "torch-distributed"
    """The training runtime. Its trainer's job and container have to be named `node`, as in all that Kubeflow ships."""
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    """`TrainingRuntime` for one of the runs' own namespace."""
