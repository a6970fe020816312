"""The environment of a run. Pure."""

from collections.abc import Mapping
from pathlib import Path

from tunegate.contract.training import PROCESSES
from tunegate.launchers.local.queue import Grant
from tunegate.launchers.local.settings import PASSED_ON, LocalSettings

MARK = "TUNEGATE_RUN"
"""Variable that every process of a run carries; its value is the run's folder."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def env_names(container_env: Mapping[str, str], settings: LocalSettings) -> list[str]:
    """Every variable that the run may see."""
    ours = (MARK, PROCESSES, "CUDA_VISIBLE_DEVICES", *_THREADS)
    return sorted({*PASSED_ON, *settings.env, *container_env, *ours})


def env_of(
    container_env: Mapping[str, str],
    grant: Grant,
    folder: Path,
    settings: LocalSettings,
    gateway_env: Mapping[str, str],
) -> dict[str, str]:
    """A short environment: what the operator lets through, the container's own, and the grant."""
    passed = {n: gateway_env[n] for n in (*PASSED_ON, *settings.env) if n in gateway_env}
    threads = dict.fromkeys(_THREADS, str(grant.cpus))
    ours = {MARK: str(folder), "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu_ids)}
    ours[PROCESSES] = str(len(grant.gpu_ids) or settings.processes)
    return {**threads, **passed, **container_env, **ours}
