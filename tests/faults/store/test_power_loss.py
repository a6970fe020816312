"""The power goes at any operation of the disk: what is found is a committed state, and none older than was acknowledged."""

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from faults.report import rounds, write
from faults.store.images import Disk, Image
from faults.store.life import Life
from faults.store.recording_disk import Recording, recording_disk
from faults.store.states import CORRUPT, DATABASE, Looker
from faults.workers import workers
from support.job_samples import ManualClock, submission
from tunegate.control.store.sqlite import SqliteStore, store

CAMPAIGNS = rounds(1, 8)
"""Side by side where there are cores."""
IMAGES = rounds(700, 12_500)
"""Of each campaign."""
CONTROL_IMAGES = rounds(150, 3_000)
CARELESS = ("NORMAL", "OFF")
"""Values of `PRAGMA synchronous` that lose something."""
CUTS = rounds(0.03, 0.25)
"""The share of all operations that the power goes at, so that many lives are cut."""
IMAGES_PER_CUT = 9
JOBS_PER_LIFE = 4
REOPENED = 250
"""One image in so many is opened by the whole store, which goes on with it."""
MEMORY = Path("/dev/shm")


@contextmanager
def fast_folder(usual: Path) -> Generator[Path]:
    """In memory where there is such a place: the images are many and short-lived."""
    if not MEMORY.is_dir():
        yield usual
        return
    folder = Path(tempfile.mkdtemp(prefix="tunegate-power-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Campaign:
    """Lives one after another, every other one begun on a disk that an earlier loss of power left."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self._lives = folder / "lives"
        self._found = folder / "found"
        self._found.mkdir(parents=True)
        self._looker = Looker(self._found)
        self._left: Image = {}
        self._seen: set[int] = set()
        self.images = self.cuts = self.lives = self.reopened = 0
        self.violations: list[str] = []
        self.kinds: Counter[str] = Counter()

    async def run(self, images: int) -> None:
        while self.images < images:
            left = self._left if self.lives % 2 else {}
            recording = await self._live(left)
            await self._cut(left, recording, images)
            self.lives += 1

    async def _live(self, left: Image) -> Recording:
        folder = self._lives / str(self.lives)
        folder.mkdir(parents=True)
        for name, content in left.items():
            (folder / name).write_bytes(content)
        pages = self._chance.choice((20, 60, 1_000))
        usual = store.open_writer

        def early(path: Path) -> apsw.Connection:
            """Checkpoints come after fewer pages than usual in some lives, so that a short life has many."""
            db = usual(path)
            db.wal_autocheckpoint(pages)
            return db

        with pytest.MonkeyPatch.context() as patch, recording_disk() as recording:
            patch.setattr(store, "open_writer", early)
            name = f"{self.lives:04}"
            path = folder / DATABASE
            await Life(path, recording, self._chance, name, JOBS_PER_LIFE).run()
        shutil.rmtree(folder)
        return recording

    async def _cut(self, left: Image, recording: Recording, images: int) -> None:
        """At every operation: some images of the disk, each held against the states that there were."""
        states = self._states(left, recording)
        last = {state: number for number, state in enumerate(states.values())}
        numbers = dict(zip(states, range(len(states)), strict=True))
        disk, marks, promised = Disk(left), set(recording.marks), 0
        for position, operation in enumerate(recording.operations, 1):
            disk.take(operation)
            if position in marks:
                promised = numbers[position]
            if self._chance.random() > CUTS:
                continue
            self.cuts += 1
            for image in disk.images(IMAGES_PER_CUT, self._chance):
                if self.images >= images:
                    return
                if self._is_new(image):
                    await self._hold(image, last, promised, f"life {self.lives}, cut {position}")

    def _states(self, left: Image, recording: Recording) -> dict[int, bytes]:
        """By position: what was committed there. A commit ends with a sync, or nobody hears of it before a mark."""
        disk, marks = Disk(left), set(recording.marks)
        states = {0: self._looker.digest(disk.whole())}
        for position, operation in enumerate(recording.operations, 1):
            disk.take(operation)
            if operation.kind == "sync" or position in marks:
                states[position] = self._looker.digest(disk.whole())
        return states

    def _is_new(self, image: Image) -> bool:
        """Most cuts allow some images of the cut before; only fresh ones count."""
        key = hash(tuple(sorted(image.items())))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    async def _hold(self, image: Image, last: dict[bytes, int], promised: int, where: str) -> None:
        self.images += 1
        found = self._looker.digest(image)
        if found == CORRUPT:
            self._complain("corrupt", where)
        elif found not in last:
            self._complain("half", where)
        elif last[found] < promised:
            self._complain("lost", where)
        elif wrong := self._looker.wrong.get(found):
            self._complain("wrong", f"{where}: {wrong[0]}")
        if last.get(found, -1) < promised:
            return
        if self._chance.random() < 0.01:
            self._left = image
        if self.images % REOPENED == 0:
            await self._reopen(image, where)

    def _complain(self, kind: str, text: str) -> None:
        self.kinds[kind] += 1
        self.violations.append(f"{kind}: {text}")

    async def _reopen(self, image: Image, where: str) -> None:
        """The real store takes the image up and goes on, and has it all when it is opened once more."""
        path = self._looker.lay_down(image)
        for turn in range(2):
            opened = SqliteStore(path, ManualClock())
            await opened.open()
            created = await opened.create_job(submission(f"after-{self.images}"))
            if created.created != (turn == 0):
                self._complain("lost", f"{where}: a job of the life after it")
            await opened.close()
        self.reopened += 1


class Tally(NamedTuple):
    """What campaigns did and found."""

    images: int
    cuts: int
    lives: int
    reopened: int
    violations: list[str]


def test_nothing_is_lost_with_the_power(tmp_path: Path) -> None:
    with fast_folder(tmp_path) as folder, workers(max(CAMPAIGNS, len(CARELESS))) as pool:
        done = list(pool.map(partial(campaign, folder), range(CAMPAIGNS)))
        normal, off = pool.map(partial(careless, folder), CARELESS)
    images, violations = (
        sum(one.images for one in done),
        [text for one in done for text in one.violations],
    )
    reopened = sum(one.reopened for one in done)
    caught = normal["lost"] > 0 and off["corrupt"] + off["half"] > 0
    write(
        "power-loss",
        images,
        violations,
        planted_bug_caught=caught,
        cuts=sum(one.cuts for one in done),
        lives=sum(one.lives for one in done),
        reopened=reopened,
        control={"tried": CONTROL_IMAGES, "synchronous_normal": normal, "synchronous_off": off},
    )
    assert violations == []
    assert images == CAMPAIGNS * IMAGES
    assert reopened >= CAMPAIGNS * (IMAGES // REOPENED)
    assert caught


def campaign(folder: Path, number: int) -> Tally:
    """In a process of its own."""
    one = Campaign(folder / f"campaign-{number}", seed=20_261_125 + number)
    asyncio.run(one.run(IMAGES))
    return Tally(one.images, one.cuts, one.lives, one.reopened, one.violations)


def careless(folder: Path, synchronous: str) -> Counter[str]:
    """The planted bug: a store that syncs less. What became of it, by kind."""
    usual = store.open_writer

    def open_writer(path: Path) -> apsw.Connection:
        db = usual(path)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "open_writer", open_writer)
        one = Campaign(folder / synchronous, seed=7)
        asyncio.run(one.run(CONTROL_IMAGES))
    return one.kinds
