"""New plugins: a folder of files per kind, with @@marks@@ in the place of names. `tunegate plugin new` writes them out."""

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["backend", "launcher"]
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUFFIX = ".txt"
"""Of templates, so that nobody takes them for code of this package."""


def new_plugin(kind: Kind, name: str) -> dict[PurePosixPath, str]:
    """The files of a plugin `name` (a-z, 0-9, hyphens) by their path in its folder. Raises ValueError for another name."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(
            f"{name!r} is no name of a plugin: use a-z, 0-9 and hyphens, as in my-method"
        )
    marks = {
        "@@name@@": name,
        "@@package@@": f"tunegate_{name.replace('-', '_')}",
        "@@Class@@": "".join(word.capitalize() for word in name.split("-")),
    }
    return dict(sorted(_filled(files(__name__) / kind, PurePosixPath(), marks)))


def write_plugin(found: dict[PurePosixPath, str], folder: Path) -> None:
    """Write the files. Raises FileExistsError where something is in the way: nothing is ever overwritten."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is there already and not empty")
    for path, text in found.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _filled(
    folder: Traversable, path: PurePosixPath, marks: dict[str, str]
) -> list[tuple[PurePosixPath, str]]:
    found: list[tuple[PurePosixPath, str]] = []
    for entry in folder.iterdir():
        name = _fill(entry.name, marks)
        if entry.is_dir():
            found += _filled(entry, path / name, marks)
        elif name.endswith(_SUFFIX):
            found.append((path / name.removesuffix(_SUFFIX), _fill(entry.read_text(), marks)))
    return found


def _fill(text: str, marks: dict[str, str]) -> str:
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text
