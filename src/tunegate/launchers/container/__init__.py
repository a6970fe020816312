"""Runs as containers of podman or docker, on the gateway's own host."""
