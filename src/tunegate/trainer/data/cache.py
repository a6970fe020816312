"""`TokenCache`: the tokens of a job on disk, found again by what they were made from.

A run that is repeated on the same machine need not tokenise again, and one that was killed goes on where it was.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Generator, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

import msgspec

import tunegate.sdk.data
from tunegate.contract.training import TuningPlan
from tunegate.trainer.data.fetch import LocalSource
from tunegate.trainer.data.tally import Extent, Tally
from tunegate.trainer.data.token_files import TokenFiles

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TALLY = "tally.json"


class TokenCache:
    """The files of both splits in one folder, and the tally that says how much of them is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tally = _read_tally(folder / _TALLY)
        try:
            self._open()
        except ValueError:
            self.tally = Tally()
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for split in (self.train, self.eval):
            split.close()

    def save(self, tally: Tally) -> None:
        """What is in the files now is whole; `tally` says how it came about."""
        for split in (self.train, self.eval):
            split.sync()
        self.tally = msgspec.structs.replace(
            tally, train=_extent(self.train), eval=_extent(self.eval)
        )
        new = self._folder / f"{_TALLY}.new"
        with new.open("wb") as file:
            file.write(msgspec.json.encode(self.tally))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / _TALLY)

    def _open(self) -> None:
        train, evaluation = self.tally.train, self.tally.eval
        self.train = TokenFiles(self._folder / "train", train.rows, train.tokens)
        self.eval = TokenFiles(self._folder / "eval", evaluation.rows, evaluation.tokens)


@contextlib.contextmanager
def token_cache(root: Path | None, key: str) -> Generator[TokenCache]:
    """The cache of this key below `root`, which belongs to one job: what other keys left is removed.

    Processes that share the folder take turns, so one of them tokenises. Without `root` nothing is kept.
    """
    with contextlib.ExitStack() as stack:
        if root is None:
            root = Path(stack.enter_context(TemporaryDirectory(prefix="tokens-")))
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = stack.enter_context((root / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for other in root.iterdir():
            if other.is_dir() and other.name != key:
                shutil.rmtree(other)
        yield stack.enter_context(TokenCache(root / key))


def cache_key(
    sources: Sequence[LocalSource], tuning: TuningPlan, tokenizer: "PreTrainedTokenizerBase"
) -> str:
    """A name for the tokens of these files under these settings, made by this code."""
    core = getattr(tokenizer, "backend_tokenizer", None)
    made_from = {
        "files": [
            (source.format, source.split, [(file.name, file.sha256) for file in source.files])
            for source in sources
        ],
        "settings": (
            tuning.max_sequence_length,
            tuning.over_length,
            tuning.train_on,
            tuning.objective,
        ),
        "tokenizer": (core.to_str() if core else "", tokenizer.chat_template),
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "libraries": [version(name) for name in ("jinja2", "tokenizers", "transformers")],
        "code": _code(),
    }
    return hashlib.sha256(msgspec.json.encode(made_from, order="sorted")).hexdigest()[:32]


def _code() -> str:
    """A hash of all code between a file and its tokens, so that no change of it can be forgotten."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parent, *map(Path, tunegate.sdk.data.__path__)):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _read_tally(path: Path) -> Tally:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tally)
    except (OSError, msgspec.MsgspecError):
        return Tally()


def _extent(split: TokenFiles) -> Extent:
    return Extent(rows=split.rows, tokens=split.tokens)
