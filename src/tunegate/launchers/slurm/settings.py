"""`[launchers.slurm]` of the operator's configuration."""

from typing import Annotated, Literal

from msgspec import Meta

from tunegate.contract.base import Strict
from tunegate.launchers.slurm.options import SlurmOptions

Runtime = Literal["bare", "apptainer", "enroot", "pyxis"]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class SlurmSettings(Strict):
    """`shared_dir` must be given; the rest fits a cluster whose commands are installed on the gateway's machine."""

    shared_dir: str | None = None
    """Folder on a file system that gateway and nodes share, at the same path. Runs get a 0700 folder each in it."""
    api: Literal["commands", "rest"] = "commands"
    """sbatch, squeue and scancel, or slurmrestd."""
    user: str | None = None
    """Whom the jobs belong to; None = the user of the gateway's process, whose files the nodes must be able to read."""

    bin_dir: str | None = None
    """Where the commands are; None = on the PATH."""
    slurm_conf: str | None = None
    """SLURM_CONF for the commands; None = their own."""
    timeout_s: Seconds = 30.0
    """For one command or request."""

    rest_url: str | None = None
    """Of slurmrestd: `http://host:6820`, or `unix:/path/of/its.socket`."""
    jwt_file: str | None = None
    """A file that holds the token and that somebody keeps fresh; it is read anew before the token expires."""
    jwt_command: list[str] | None = None
    """A command that prints a fresh token, such as `["scontrol", "token", "lifespan=3600"]`."""

    runtime: Runtime = "bare"
    """`bare` runs the trainer of the nodes' own Python; the others run the job's image."""
    python: str = "python3"
    """Interpreter of bare runs, which has the trainer installed."""
    images: dict[str, str] = {}
    """Image of a job → what the runtime is given for it: a .sif or .sqsh file of the shared file system."""
    setup: list[str] = []
    """Lines of shell before the program: `module load cuda`, `source /opt/tunegate/bin/activate`."""
    path: str = "/usr/local/bin:/usr/bin:/bin"
    """PATH of the batch scripts."""

    gres: str = "gpu"
    """Name of the GPUs among the generic resources; "" where GPUs are not asked for that way."""
    gpu_types: dict[str, str] = {}
    """`gpu_type` of a job → its gres: `A100 = "gpu:a100"`."""
    gpus_per_node: Annotated[int, Meta(ge=0)] | None = None
    """The most that a node has, to refuse jobs that could never start."""
    max_nodes: Count | None = None
    """The most that a job may have."""
    ask_memory: bool = True
    """Ask for the job's memory; no, where the cluster does not share memory out."""
    max_time_minutes: Count | None = None
    """Longest time limit that the cluster grants. A job that takes longer goes on in a new attempt, from its checkpoint."""
    margin_s: Seconds = 60.0
    """Between the job's own end and Slurm's time limit, which is a backstop."""
    defaults: SlurmOptions = SlurmOptions()
    """For jobs that don't say otherwise."""
    allowed: dict[str, list[str]] = {}
    """Option → values that jobs may name: `partition = ["gpu", "gpu-long"]`. Options not listed here are free."""

    queue_depth: Count = 64
    """Runs that may wait in Slurm at a time; the gateway keeps the rest."""
    unknown_wait_s: Seconds = 30.0
    """After a submission whose outcome is not known, wait so long for the job to appear before trying again."""
    lost_after_s: Seconds = 60.0
    """A job that Slurm does not list any more, and that left no exit code, counts as lost after so long; one that has begun and is listed as waiting, as interrupted."""
