"""Runs as TrainJobs of Kubeflow Trainer v2."""

from tunegate.launchers.kubeflow.launcher import KubeflowLauncher

__all__ = ("KubeflowLauncher",)
