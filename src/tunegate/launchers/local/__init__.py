"""Runs as processes of the gateway's own machine."""

from tunegate.launchers.local.launcher import LocalLauncher

__all__ = ("LocalLauncher",)
