"""`KubernetesLauncher`: a run is a Job."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from tunegate.launchers.kube.launcher import PodLauncher
from tunegate.launchers.kube.objects import Job, Pod
from tunegate.launchers.kube.options import PodOptions
from tunegate.launchers.kube.run_states import Workload
from tunegate.launchers.kubernetes.render import API, KIND, NAME, headless_service, job
from tunegate.launchers.kubernetes.settings import KubernetesSettings
from tunegate.launchers.kubernetes.states import workload_of
from tunegate.sdk.launcher import Run


class KubernetesLauncher(PodLauncher[KubernetesSettings, Job, Pod]):
    """Several nodes are an indexed Job with a headless Service."""

    name = NAME
    description = "Jobs of a Kubernetes cluster"
    settings_type: ClassVar[type[msgspec.Struct]] = KubernetesSettings
    kind, api, plural = KIND, API, "jobs"
    workload_type = Job

    def manifest(
        self, run: Run, options: PodOptions, owners: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        return job(run, self._settings, options, owners)

    def workload(self, found: Job) -> Workload:
        return workload_of(found)

    def service(self, run: Run) -> dict[str, Any] | None:
        if run.container.resources.nodes == 1:
            return None
        return headless_service(run, self._settings)
