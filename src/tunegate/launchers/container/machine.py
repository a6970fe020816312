"""What the host has to give to containers."""

from collections.abc import Mapping

import msgspec

from tunegate.launchers.container.settings import ContainerSettings
from tunegate.launchers.local import machine
from tunegate.launchers.local.machine import Machine
from tunegate.launchers.local.settings import LocalSettings


def look(settings: ContainerSettings, env: Mapping[str, str]) -> Machine:
    """As the operator describes it, and as it is where he does not; GPUs by the names that the engine knows them by."""
    named = settings.gpus
    found = machine.look(
        LocalSettings(
            gpus=None if named is None else len(named),
            gpu_type=settings.gpu_type,
            cpus=settings.cpus,
            memory_gb=settings.memory_gb,
        ),
        env,
    )
    return found if named is None else msgspec.structs.replace(found, gpu_ids=named)
