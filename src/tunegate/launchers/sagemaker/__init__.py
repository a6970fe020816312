"""Runs as training jobs of Amazon SageMaker."""

from tunegate.launchers.sagemaker.launcher import SageMakerLauncher

__all__ = ("SageMakerLauncher",)
