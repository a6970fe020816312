"""Runs as batch jobs of a Slurm cluster."""

from tunegate.launchers.slurm.launcher import SlurmLauncher

__all__ = ("SlurmLauncher",)
