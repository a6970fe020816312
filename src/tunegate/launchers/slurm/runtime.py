"""How each container runtime is called on a node. Pure."""

from collections.abc import Sequence

from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import CONTAINER_FOLDER, WORK, WORK_FOLDER, command_of

PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def image_of(run: Run, settings: SlurmSettings) -> str:
    """What the runtime is given: a file where the operator mapped the image to one, else its address."""
    image = settings.images.get(run.container.image, run.container.image)
    if image.startswith(("/", "./")) or "://" in image:
        return image
    if settings.runtime == "pyxis":
        return _with_hash(image)
    return f"docker://{_with_hash(image) if settings.runtime == 'enroot' else image}"


def srun_flags(run: Run, settings: SlurmSettings, files: str, work: str) -> list[str]:
    """What `srun` itself must know of the image: pyxis is a plugin of it."""
    if settings.runtime != "pyxis":
        return []
    mounts = f"{files}:{CONTAINER_FOLDER}:ro,{work}:{WORK_FOLDER}"
    return [
        f"--container-image={image_of(run, settings)}",
        f"--container-mounts={mounts}",
        "--no-container-mount-home",
    ]


def program(run: Run, settings: SlurmSettings, files: str, work: str) -> list[str]:
    """The argument list of one task."""
    if settings.runtime == "bare":
        return command_of(run, files, settings.python)
    command = command_of(run, CONTAINER_FOLDER)
    match settings.runtime:
        case "pyxis":
            return command
        case "apptainer":
            gpus = ["--nv"] if run.container.resources.gpus else []
            binds = ["--bind", f"{files}:{CONTAINER_FOLDER}:ro", "--bind", f"{work}:{WORK_FOLDER}"]
            inside = ["--env", f"{WORK}={WORK_FOLDER}"]
            return [
                *("apptainer", "exec", "--no-home", *gpus, *binds, *inside),
                *(image_of(run, settings), *command),
            ]
        case "enroot":
            mounts = [f"{files}:{CONTAINER_FOLDER}:none:x-create=dir,bind,ro", f"{work}:{WORK_FOLDER}:none:x-create=dir,bind,rw"]  # fmt: skip
            names = [*sorted(run.container.env), *enroot_names(run)]
            return [
                *("enroot", "start", *_repeat("--mount", mounts), *_repeat("--env", names)),
                *("--env", f"{WORK}={WORK_FOLDER}", _file(run, settings, work), *command),
            ]


def imports(run: Run, settings: SlurmSettings, work: str) -> list[str]:
    """Enroot starts from a file: one that is not there is made of the image first."""
    image = image_of(run, settings)
    if settings.runtime != "enroot" or not image.startswith("docker://"):
        return []
    return ["enroot", "import", "--output", _file(run, settings, work), image]


def work_folder(settings: SlurmSettings, work: str) -> str:
    """Where the program sees its disk."""
    return work if settings.runtime == "bare" else WORK_FOLDER


def enroot_names(run: Run) -> Sequence[str]:
    place = PLACE if run.container.resources.nodes > 1 else ()
    return ("TUNEGATE_PROCESSES", *place)


def _file(run: Run, settings: SlurmSettings, work: str) -> str:
    image = image_of(run, settings)
    return f"{work}/image.sqsh" if image.startswith("docker://") else image


def _with_hash(image: str) -> str:
    """Enroot writes `registry#repository:tag`."""
    host, slash, rest = image.partition("/")
    return f"{host}#{rest}" if slash and ("." in host or ":" in host) else image


def _repeat(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]
