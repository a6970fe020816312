"""Which files of a folder belong to a split, going by their names."""

import re
from collections.abc import Sequence

from tunegate.sdk.data.splits import EVAL_SPLITS

_VALIDATION = frozenset({"validation", "valid", "val", "dev", "evaluation", "eval"})
_DATA = re.compile(r"\.(jsonl|ndjson|json|csv|parquet)(\.gz)?$", re.IGNORECASE)
_NOT_DATA = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json"}
)


def is_data_file(path: str) -> bool:
    """Whether rows can be read from a file of this name; hidden files and well-known metadata are passed over."""
    name = path.rsplit("/", 1)[-1]
    return bool(_DATA.search(name)) and name[0] not in "._" and name not in _NOT_DATA


def choose_files(paths: Sequence[str], split: str | None) -> list[str]:
    """The data files of a split; without one, all that don't name an evaluation split.

    Where no name tells a split, all files belong to the one that is asked for. Empty when nothing fits.
    """
    data = sorted(path for path in paths if is_data_file(path))
    if split is None:
        return [path for path in data if not _words(path) & EVAL_SPLITS] or data
    wanted = split.lower()
    names = _VALIDATION if wanted in _VALIDATION else {wanted}
    named = [path for path in data if _words(path) & names]
    if named or any(_words(path) & (EVAL_SPLITS | {"train"}) for path in data):
        return named
    return data


def _words(path: str) -> set[str]:
    return set(re.split(r"[^a-z]+", path.lower()))
