"""Runs as jobs of a Ray cluster."""

from tunegate.launchers.ray.launcher import RayLauncher

__all__ = ("RayLauncher",)
