"""Runs as Jobs of a Kubernetes cluster."""

from tunegate.launchers.kubernetes.launcher import KubernetesLauncher

__all__ = ("KubernetesLauncher",)
