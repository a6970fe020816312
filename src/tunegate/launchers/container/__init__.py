"""Runs as containers of podman or docker, on the gateway's own host."""

from tunegate.launchers.container.launcher import ContainerLauncher

__all__ = ("ContainerLauncher",)
