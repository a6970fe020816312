"""Where an engine listens."""

from collections.abc import Iterator, Mapping
from pathlib import Path

_VARIABLES = ("DOCKER_HOST", "CONTAINER_HOST")
_SCHEME = "unix://"


def find_socket(configured: str | None, env: Mapping[str, str], root: Path = Path("/")) -> str:
    """The path of the engine's socket. Raises ValueError where the operator names none and none is there."""
    if configured is not None:
        return configured.removeprefix(_SCHEME)
    for name in _VARIABLES:
        if env.get(name, "").startswith(_SCHEME):
            return env[name].removeprefix(_SCHEME)
    for path in _usual(env, root):
        if path.is_socket():
            return str(path)
    raise ValueError(
        "no engine was found: start docker or `podman system service`, or set launchers.container.socket"
    )


def _usual(env: Mapping[str, str], root: Path) -> Iterator[Path]:
    """One's own engine before that of the machine."""
    if env.get("XDG_RUNTIME_DIR"):
        own = Path(env["XDG_RUNTIME_DIR"])
        yield own / "docker.sock"
        yield own / "podman/podman.sock"
    yield root / "run/docker.sock"
    yield root / "var/run/docker.sock"
    yield root / "run/podman/podman.sock"
