"""`KubeflowLauncher`: a run is a TrainJob."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from tunegate.launchers.kube.launcher import PodLauncher
from tunegate.launchers.kube.objects import Pod
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.run_states import Workload
from tunegate.launchers.kubeflow.objects import NodePod, TrainJob
from tunegate.launchers.kubeflow.render import API, KIND, NODE, train_job
from tunegate.launchers.kubeflow.settings import KubeflowSettings
from tunegate.launchers.kubeflow.states import workload_of
from tunegate.sdk.launcher import LauncherContext, Run


class KubeflowLauncher(PodLauncher[KubeflowSettings, TrainJob, NodePod]):
    """The training runtime makes the pods, and the service that they meet by."""

    name = "kubeflow"
    description = "TrainJobs of Kubeflow Trainer v2"
    settings_type: ClassVar[type[msgspec.Struct]] = KubeflowSettings
    kind, api, plural, container = KIND, API, "trainjobs", NODE
    missing = "the cluster knows no such namespace, or Kubeflow Trainer is not installed"
    workload_type, pod_type = TrainJob, NodePod
    propagation = (
        "Background"  # Kubeflow Trainer goes on with a TrainJob that waits for what it owns to go
    )

    def __init__(self, settings: KubeflowSettings, context: LauncherContext) -> None:
        if settings.runtime_class is not None or settings.image_pull_policy is not None:
            raise ValueError("runtime_class and image_pull_policy belong into the training runtime")
        super().__init__(settings, context)

    def manifest(
        self, run: Run, options: PodOptions, owners: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        return train_job(run, self._settings, options, owners)

    def workload(self, found: TrainJob) -> Workload:
        return workload_of(found)

    def as_pod(self, pod: NodePod) -> Pod:
        return pod.as_pod()
