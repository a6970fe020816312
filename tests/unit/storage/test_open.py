from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from tunegate.contract.training import StoragePolicy
from tunegate.sdk.storage import Unsupported
from tunegate.storage import open as opening
from tunegate.storage.addresses import scheme_of, shown, split_s3
from tunegate.storage.file import FileStore
from tunegate.storage.http import HttpStore
from tunegate.storage.open import open_store
from tunegate.storage.s3 import S3Store


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("s3://bucket/key", S3Store), ("S3://bucket/key", S3Store), ("https://host/x", HttpStore), ("http://host/x", HttpStore),
        ("file:///x", FileStore), ("/abs/path", FileStore), ("relative/path", FileStore), ("C:x", FileStore),
    ],
)  # fmt: skip
async def test_the_scheme_decides(uri: str, kind: type) -> None:
    assert type(open_store(uri, StoragePolicy())) is kind


def test_unknown_schemes_list_the_known_ones() -> None:
    with pytest.raises(Unsupported, match=r"gs:// .*file://, http://, https://, s3://"):
        open_store("gs://bucket/key?canary=1", StoragePolicy())


def planted(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = EntryPoints(EntryPoint("mem", value, opening.GROUP) for value in values)
    monkeypatch.setattr(opening, "_installed", lambda: points)


def test_two_packages_for_one_scheme_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "one:Store", "two:Store")
    with pytest.raises(Unsupported, match="one:Store, two:Store"):
        open_store("mem://x", StoragePolicy())


def test_what_is_no_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "pathlib:Path")
    with pytest.raises(Unsupported, match="not an ObjectStore"):
        open_store("mem://x", StoragePolicy())


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://u:canary@host/p?canary=1#canary", "https://host/p"),
        ("https://host/p#canary", "https://host/p"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("/plain/path", "/plain/path"),
    ],
)
def test_messages_show_no_query_and_no_user(uri: str, text: str) -> None:
    assert shown(uri) == text


def test_keys_are_taken_as_written() -> None:
    assert split_s3("s3://bucket/a%20b/c?d#e") == ("bucket", "a%20b/c?d#e")
    assert split_s3("s3://bucket") == ("bucket", "")


@pytest.mark.parametrize(
    ("uri", "scheme"), [("HTTPS://x", "https"), ("://x", "file"), ("a b://x", "file")]
)
def test_scheme_of(uri: str, scheme: str) -> None:
    assert scheme_of(uri) == scheme


@pytest.mark.parametrize(
    ("size", "step"),
    [(0, 8 * 2**20), (80_000 * 2**20, 8 * 2**20), (80_001 * 2**20, 9 * 2**20), (5 * 2**40, 525 * 2**20)],
)  # fmt: skip
def test_part_sizes_keep_below_ten_thousand_parts(size: int, step: int) -> None:
    from tunegate.storage.transfer import part_bytes

    assert part_bytes(size) == step
    assert -(-size // step) <= 10_000


async def test_the_first_error_of_parallel_work_is_raised() -> None:
    from tunegate.storage.transfer import in_parallel

    done: list[int] = []

    async def work(item: int) -> None:
        if item == 3:
            raise Unsupported("planted")
        done.append(item)

    with pytest.raises(Unsupported, match="planted"):
        await in_parallel(range(1000), work)
    assert len(done) < 1000


def test_any_store_of_the_group_is_an_object_store() -> None:
    from importlib.metadata import entry_points

    for entry in entry_points(group=opening.GROUP):
        store: Any = opening._load(entry)
        assert entry.name in store.schemes
