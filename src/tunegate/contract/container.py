"""`ContainerSpec`: what runs, with no place named. A backend makes it, a launcher renders it."""

from tunegate.contract.base import Wire


class ContainerFile(Wire):
    """A file that the launcher lays into the working folder (job.json and the like); never a secret."""

    path: str
    content: str


class ResourceRequest(Wire):
    """Per node but for `nodes`; `max_duration_s` is a backstop, the gateway keeps the total."""

    gpus: int = 1
    gpu_type: str | None = None
    cpus: int = 8
    memory_bytes: int = 64 * 2**30
    nodes: int = 1
    max_duration_s: float = 480 * 60.0
    defaulted: list[str] = []
    """Fields of the request's `resources` that nobody asked for: a launcher with less need not refuse them."""


class ContainerSpec(Wire):
    """One container per node. `command` is an argument list; `{files}` in it becomes the folder of the files."""

    image: str
    command: list[str]
    resources: ResourceRequest
    files: list[ContainerFile] = []
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    image_requested: bool = False
    """The job named the image itself: a launcher that runs no images reports that as ignored."""
