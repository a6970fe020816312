"""`ContainerSpec`: what runs, with no place named. A backend makes it, a launcher renders it."""

from typing import Literal

from tunegate.contract.base import Wire

Protocol = Literal["attempt", "kubeflow"]
"""How a program tells the gateway of itself; see `ContainerSpec.protocol`."""


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
    protocol: Protocol = "attempt"
    """`attempt`: the program claims its attempt, pushes events and ends with a manifest, as the shared trainer does.
    `kubeflow`: any other program. It may report progress by Kubeflow Trainer's protocol, as every Hugging Face Trainer
    does by itself, and has succeeded when it leaves with exit code 0 and there is something in the job's folder."""
