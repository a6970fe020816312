"""A resumable checkpoint: safetensors and JSON, and a marker with the hash of every file, written last."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from torch import Tensor

from tunegate.contract.attempt import ManifestFile
from tunegate.contract.base import Wire
from tunegate.trainer.distributed.whole import put, whole
from tunegate.trainer.files import describe_file, describe_files
from tunegate.trainer.state import TrainState

if TYPE_CHECKING:
    from tunegate.trainer.loop import Loop

MARKER = "complete.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
BEST = "best.safetensors"
STATE = "state.json"
NEEDED = frozenset({WEIGHTS, OPTIMIZER, STATE})
_FOLDER = re.compile(r"step-(\d{6,})")


class Marker(Wire):
    """complete.json. `digest` is of everything that the course of the training hangs on."""

    step: int
    digest: str
    files: list[ManifestFile]


class SavedState(Wire):
    """state.json: counts of the training and the optimizer's numbers."""

    train: TrainState
    optimizer: dict[str, float | int | bool]


class Snapshot(Wire):
    """A checkpoint in memory, on the CPU: nothing in it changes any more while it is written."""

    digest: str
    state: SavedState
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    best: dict[str, Tensor] | None


def folder_name(step: int) -> str:
    return f"step-{step:06d}"


def step_of(folder: str) -> int | None:
    """The step in the name of a checkpoint's folder."""
    match = _FOLDER.fullmatch(folder)
    return int(match[1]) if match else None


def take_snapshot(loop: "Loop", digest: str) -> Snapshot:
    """Copy all that must be saved. Where weights are sharded all ranks must do it, and rank 0 gets it."""
    from tunegate.trainer.optimizer import flatten

    tensors, numbers = flatten(loop.optimizer, loop.forward.model)
    weights = {name: whole(p) for name, p in loop.parameters.items()}
    train = msgspec.json.decode(msgspec.json.encode(loop.state), type=TrainState)
    return Snapshot(
        digest=digest,
        state=SavedState(train=train, optimizer=numbers),
        weights=weights,
        optimizer=tensors,
        best=loop.best,
    )


def write_checkpoint(snapshot: Snapshot, folder: Path) -> Marker:
    """Write all files; the marker comes last. Returns the marker."""
    from safetensors.torch import save_file

    # A run that was killed here may have left files that are no part of this checkpoint.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    save_file(snapshot.weights, folder / WEIGHTS)
    save_file(snapshot.optimizer, folder / OPTIMIZER)
    if snapshot.best is not None:
        save_file(snapshot.best, folder / BEST)
    (folder / STATE).write_bytes(msgspec.json.encode(snapshot.state))
    files = describe_files(folder)
    step = snapshot.state.train.step
    marker = Marker(step=step, digest=snapshot.digest, files=files)
    (folder / MARKER).write_bytes(msgspec.json.encode(marker))
    return marker


def read_marker(content: bytes) -> Marker | None:
    """The marker, if it is one that names all that a checkpoint needs, each file in its own folder."""
    try:
        marker = msgspec.json.decode(content, type=Marker)
    except msgspec.DecodeError:
        return None
    names = {file.path for file in marker.files}
    plain = all(name == Path(name).name for name in names)
    return marker if plain and names >= NEEDED else None


def verifies(folder: Path, marker: Marker) -> bool:
    """Whether every file that the marker names is there, whole."""
    try:
        return all(describe_file(folder / file.path, folder) == file for file in marker.files)
    except OSError:
        return False


def load_checkpoint(folder: Path | None, loop: "Loop") -> None:
    """Put a verified checkpoint, which rank 0 alone has, into a fresh loop of any number of ranks.

    Raises KeyError or ValueError when it does not fit the model.
    """
    from tunegate.trainer.optimizer import restore

    ranks = loop.ranks
    content = None if folder is None else (folder / STATE).read_bytes()
    saved = msgspec.json.decode(ranks.broadcast(content) or b"", type=SavedState)
    weights = _tensors(folder, WEIGHTS)
    if folder is not None and weights.keys() != loop.parameters.keys():
        raise ValueError("the checkpoint is of other parameters")
    put(loop.parameters, ranks.spread(weights))
    state = (_tensors(folder, OPTIMIZER), saved.optimizer)
    restore(loop.optimizer, loop.forward.model, state, ranks)
    best = dict(ranks.spread(_tensors(folder, BEST)))
    loop.best = best or None
    loop.adopt(saved.train)


def _tensors(folder: Path | None, name: str) -> dict[str, Tensor]:
    """None where this rank has no checkpoint, or the checkpoint no such file."""
    from safetensors.torch import load_file

    return load_file(folder / name) if folder is not None and (folder / name).exists() else {}
