"""`[launchers.kubernetes]` of the operator's configuration."""

from tunegate.launchers.kube.settings import KubeSettings


class KubernetesSettings(KubeSettings, kw_only=True):
    """Where the cluster is, and what every run's pods get in it."""
