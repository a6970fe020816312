"""What must be true of a training that was killed and went on. It reads files alone and shares no code with the trainer."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = {"weights.safetensors", "optimizer.safetensors", "state.json"}


@dataclass
class Attempt:
    """What the journal of one attempt says."""

    began_at: int | None = None
    total: int = 0
    steps: list[tuple[int, str, tuple[int, ...]]] = field(
        default_factory=list[tuple[int, str, tuple[int, ...]]]
    )
    """Step, fingerprint of its tokens, its rows."""
    steps_per_epoch: int = 0


def read_journal(journal: Path) -> Attempt:
    attempt = Attempt()
    for line in journal.read_text().splitlines() if journal.exists() else []:
        match line.split():
            case ["run", start, total, steps_per_epoch]:
                attempt.began_at, attempt.total = int(start), int(total)
                attempt.steps_per_epoch = int(steps_per_epoch)
            case ["step", step, content, rows]:
                numbers = tuple(int(row) for row in rows.split(","))
                attempt.steps.append((int(step), content, numbers))
            case _:
                pass
    return attempt


def newest_whole(output: Path) -> int:
    """The step of the newest checkpoint whose every file is there and has its hash; 0 when there is none."""
    folders = sorted((output / "checkpoints").glob("step-*"), reverse=True)
    return next((int(folder.name[5:]) for folder in folders if _is_whole(folder)), 0)


def _is_whole(folder: Path) -> bool:
    try:
        marker = json.loads((folder / "complete.json").read_bytes())
        files = {file["path"]: file["sha256"] for file in marker["files"]}
        return set(files) >= NEEDED and all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def against_unbroken(attempt: Attempt, expected: int, unbroken: Attempt) -> list[str]:
    """Wrong of one attempt: where it went on, the order of its steps, the rows that they saw."""
    if attempt.began_at is None:
        return []
    found: list[str] = []
    if attempt.began_at != expected:
        found.append(f"went on from step {attempt.began_at}, not from {expected}")
    numbers = [step for step, _, _ in attempt.steps]
    if numbers != list(range(attempt.began_at, attempt.began_at + len(numbers))):
        found.append(f"its steps are {numbers} from {attempt.began_at} on")
    rows = {step: (content, seen) for step, content, seen in unbroken.steps}
    found += [
        f"step {step} saw other rows"
        for step, content, seen in attempt.steps
        if rows.get(step) != (content, seen)
    ]
    return found


def rows_once(attempt: Attempt) -> list[str]:
    """Of an unbroken run: every row once in each epoch."""
    seen: dict[int, list[int]] = {}
    for step, _, rows in attempt.steps:
        seen.setdefault(step // attempt.steps_per_epoch, []).extend(rows)
    everything = sorted(seen[0])
    return [
        f"epoch {epoch} lost rows or saw some twice"
        for epoch, rows in seen.items()
        if len(set(rows)) != len(rows) or sorted(rows) != everything
    ]


def same_result(output: Path, unbroken: Path, last: Attempt) -> list[str]:
    """The weights bit for bit, and the counts."""
    found: list[str] = []
    names = sorted(path.name for path in unbroken.glob("*.safetensors"))
    if not names or names != sorted(path.name for path in output.glob("*.safetensors")):
        found.append("the result has other weight files")
    found += [
        f"{name} differs"
        for name in names
        if not (output / name).exists()
        or (output / name).read_bytes() != (unbroken / name).read_bytes()
    ]
    one, other = (
        json.loads((folder / "metrics.json").read_bytes()) for folder in (output, unbroken)
    )
    found += [
        f"{key} differs"
        for key in ("steps", "tokens", "loss", "eval_loss")
        if one[key] != other[key]
    ]
    if (last.began_at or 0) + len(last.steps) != last.total:
        found.append("the last attempt did not come to the end")
    manifest = json.loads((output / "manifest.json").read_bytes())
    found += [
        f"{file['path']} is not what the manifest says"
        for file in manifest["files"]
        if hashlib.sha256((output / file["path"]).read_bytes()).hexdigest() != file["sha256"]
    ]
    return found
