"""Whether jobs of the local launcher can train here: the trainer's libraries, and the GPUs."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tunegate.doctor import Finding, ok, trouble, warning
from tunegate.launchers.local.machine import look
from tunegate.launchers.local.settings import LocalSettings
from tunegate.settings import SettingsError, load

AREA = "training here"
_LOOK = """\
import json
from importlib.util import find_spec
names = ("tunegate", "torch", "transformers", "peft", "safetensors", "pyarrow", "numpy")
missing = [name for name in names if find_spec(name) is None]
torch = None
if not missing:
    import torch as found
    torch = {"version": found.__version__, "gpus": found.cuda.device_count()}
print(json.dumps({"missing": missing, "torch": torch}))
"""
_TIMEOUT_S = 120.0


def check_trainer(config: Path | None) -> Iterator[Finding]:
    """Nothing where the settings can't be read: that is told elsewhere."""
    try:
        settings, _ = load(config, os.environ, to_serve=False)
        local = msgspec.convert(settings.launchers.get("local", {}), LocalSettings)
    except (SettingsError, msgspec.ValidationError):
        return
    machine = look(local, os.environ)
    found = _ask(local.python)
    if isinstance(found, str):
        yield trouble(AREA, "python", found, "set launchers.local.python to an interpreter that has the trainer")  # fmt: skip
        return
    if found["missing"]:
        yield warning(AREA, "trainer", f"{', '.join(found['missing'])} missing in {local.python}", "pip install 'tunegate[trainer]' there, or use another launcher")  # fmt: skip
        return
    torch = found["torch"]
    yield ok(AREA, "trainer", f"torch {torch['version']} in {local.python}")
    memory = f"{machine.cpus} CPUs, {machine.memory_bytes / 2**30:.0f} GiB"
    if not machine.gpu_ids:
        if local.cpu_fallback:
            yield ok(AREA, "GPUs", f"none; jobs run on what there is: {memory}")
        else:
            yield warning(AREA, "GPUs", "none: jobs that ask for one are refused", "set launchers.local.cpu_fallback = true to run them on the processor")  # fmt: skip
    elif torch["gpus"] < len(machine.gpu_ids):
        yield trouble(AREA, "GPUs", f"the machine has {len(machine.gpu_ids)}, torch sees {torch['gpus']}", "install the build of torch for this driver's CUDA version; `nvidia-smi` shows it")  # fmt: skip
    else:
        yield ok(AREA, "GPUs", f"{len(machine.gpu_ids)} {machine.gpu_type or ''}; {memory}")


def _ask(python: str) -> dict[str, Any] | str:
    try:
        done = subprocess.run(  # noqa: S603  the interpreter that the operator named
            [python, "-c", _LOOK], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python}: {error}"
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return f"{python} ended with {done.returncode}: {''.join(last)}"
    return json.loads(done.stdout)
