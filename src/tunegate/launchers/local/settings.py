"""`[launchers.local]` of the operator's configuration."""

import sys
from typing import Annotated

from msgspec import Meta, field

from tunegate.contract.base import Strict

PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
)


class LocalSettings(Strict):
    """None = look at the machine."""

    python: str = field(default_factory=lambda: sys.executable)
    """Interpreter of the runs; it must have the trainer installed."""
    gpus: Annotated[int, Meta(ge=0)] | None = None
    """GPUs that jobs may share out among them; fewer than there are keeps some for others."""
    gpu_type: str | None = None
    """What jobs must ask for when they name a `gpu_type`."""
    cpus: Annotated[int, Meta(ge=1)] | None = None
    """CPUs that jobs may share out among them."""
    memory_gb: Annotated[int, Meta(ge=1)] | None = None
    """Memory that jobs may share out among them."""
    cpu_fallback: bool = False
    """Run jobs that ask for more than this machine has on what there is; the job's `ignored` list says so."""
    processes: Annotated[int, Meta(ge=1)] = 1
    """Processes of a run that gets no GPU, which divide its batches; with GPUs there is one for each of them."""
    env: list[str] = []
    """Names of further variables of the gateway's environment that runs get."""
