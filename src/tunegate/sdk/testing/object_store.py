"""`ObjectStoreConformance`: what every object store must do, as a pytest suite.

Subclass it, set the flags and override the fixtures:

    class TestMyStore(ObjectStoreConformance):
        @pytest.fixture
        async def store(self):
            async with MyStore(policy, auth) as store:
                yield store

        @pytest.fixture
        def prefix(self):
            return f"my://bucket/{uuid4().hex}/"
"""

import hashlib
import random
from pathlib import Path
from typing import ClassVar

import pytest

from tunegate.sdk.storage import (
    AlreadyExists,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    Unsupported,
)

ODD_NAMES = (
    "with space.txt",
    "ümläut-文件-🎉.txt",
    "a+b&c=d;e,f.txt",
    "percent%20sign.txt",
    "quote'\".txt",
    "tilde~at@colon:.txt",
    "deep/er/and/deeper.txt",
    "dots..in...name",
    "x" * 200,
)
BIG_BYTES = 20 * 2**20 + 12345


class ObjectStoreConformance:
    """Each test works below `prefix` (ends in `/`), which must be empty at the start."""

    writable: ClassVar[bool] = True
    presigns: ClassVar[bool] = False
    conditional: ClassVar[bool] = True
    canaries: ClassVar[tuple[str, ...]] = ()
    """Credentials that the store was given: no message may hold one."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        pytest.fail("override the fixture `store`")

    @pytest.fixture
    def prefix(self) -> str:
        pytest.fail("override the fixture `prefix`")

    async def put(self, store: ObjectStore, uri: str, data: bytes) -> None:
        """How the tests bring an object into being; read-only stores override it."""
        await store.write(uri, data)

    async def test_bytes_come_back(self, store: ObjectStore, prefix: str) -> None:
        uri, data = f"{prefix}one.bin", bytes(range(256)) * 7
        await self.put(store, uri, data)
        info = await store.head(uri)
        assert await store.read(uri) == data
        assert (info.uri, info.size_bytes) == (uri, len(data))
        assert info.etag

    async def test_empty_object(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        uri = f"{prefix}empty"
        await self.put(store, uri, b"")
        assert await store.read(uri) == b""
        assert [chunk async for chunk in store.stream(uri)] == []
        assert (await store.download(uri, tmp_path / "empty")).size_bytes == 0
        assert (tmp_path / "empty").read_bytes() == b""
        assert (await store.head(uri)).size_bytes == 0

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, 1), (3, 4), (5, None), (9, 100), (10, None), (99, 5), (2, 0)]
    )
    async def test_ranges(
        self, store: ObjectStore, prefix: str, offset: int, length: int | None
    ) -> None:
        uri, data = f"{prefix}range", b"0123456789"
        await self.put(store, uri, data)
        end = None if length is None else offset + length
        assert await store.read(uri, offset=offset, length=length) == data[offset:end]

    async def test_stream_in_chunks(self, store: ObjectStore, prefix: str) -> None:
        uri, data = f"{prefix}stream", random.Random(1).randbytes(100_000)  # noqa: S311
        await self.put(store, uri, data)
        chunks = [chunk async for chunk in store.stream(uri, chunk_bytes=7_000)]
        assert b"".join(chunks) == data
        assert all(0 < len(chunk) <= 7_000 for chunk in chunks)
        rest = b"".join([chunk async for chunk in store.stream(uri, offset=99_000)])
        assert rest == data[99_000:]

    async def test_stream_may_be_left_early(self, store: ObjectStore, prefix: str) -> None:
        uri, data = f"{prefix}left", bytes(3 * 2**20)
        await self.put(store, uri, data)
        async for chunk in store.stream(uri, chunk_bytes=1000):
            assert chunk
            break
        assert await store.read(uri, length=10) == bytes(10)

    async def test_missing_object(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        uri = f"{prefix}missing"
        with pytest.raises(ObjectNotFound):
            await store.head(uri)
        with pytest.raises(ObjectNotFound):
            await store.read(uri)
        with pytest.raises(ObjectNotFound):
            _ = [chunk async for chunk in store.stream(uri)]
        with pytest.raises(ObjectNotFound):
            await store.download(uri, tmp_path / "new" / "missing")
        assert _files_below(tmp_path) == []

    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_odd_names(self, store: ObjectStore, prefix: str, name: str) -> None:
        if not self.writable:
            pytest.skip("addresses of a read-only store follow its own rules of quoting")
        uri = prefix + name
        await store.write(uri, name.encode())
        assert await store.read(uri) == name.encode()
        assert [info.uri async for info in store.list(prefix)] == [uri]

    async def test_big_download(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        uri, data = f"{prefix}big", random.Random(2).randbytes(BIG_BYTES)  # noqa: S311
        await self.put(store, uri, data)
        target = tmp_path / "new folder" / "big"
        info = await store.download(uri, target)
        assert info.size_bytes == BIG_BYTES
        assert _sha256(target.read_bytes()) == _sha256(data)
        assert [path.name for path in target.parent.iterdir()] == ["big"]

    async def test_big_upload(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        source, uri = tmp_path / "big", f"{prefix}big"
        source.write_bytes(random.Random(3).randbytes(BIG_BYTES))  # noqa: S311
        if not self.writable:
            with pytest.raises(Unsupported):
                await store.upload(source, uri)
            return
        info = await store.upload(source, uri)
        assert info.size_bytes == BIG_BYTES
        digest = hashlib.sha256()
        async for chunk in store.stream(uri):
            digest.update(chunk)
        assert digest.hexdigest() == _sha256(source.read_bytes())

    async def test_overwriting_changes_the_tag(self, store: ObjectStore, prefix: str) -> None:
        if not self.writable:
            pytest.skip("read only")
        uri = f"{prefix}twice"
        first = await store.write(uri, b"first")
        second = await store.write(uri, b"other")
        assert first.etag != second.etag
        assert second.etag == (await store.head(uri)).etag
        assert await store.read(uri) == b"other"

    async def test_write_if_absent(self, store: ObjectStore, prefix: str) -> None:
        if not self.conditional:
            pytest.skip("the store has no conditional writes")
        uri = f"{prefix}claim"
        await store.write(uri, b"winner", if_absent=True)
        with pytest.raises(AlreadyExists):
            await store.write(uri, b"loser", if_absent=True)
        assert await store.read(uri) == b"winner"

    async def test_list_is_ordered_and_complete(self, store: ObjectStore, prefix: str) -> None:
        if not self.writable:
            with pytest.raises(Unsupported):
                _ = [info async for info in store.list(prefix)]
            return
        names = sorted(f"part/{number:02d}.bin" for number in range(30))
        for name in [*reversed(names), "other/x", "partly"]:
            await store.write(prefix + name, b"12345")
        listed = [info async for info in store.list(f"{prefix}part/")]
        assert [info.uri for info in listed] == [prefix + name for name in names]
        assert {info.size_bytes for info in listed} == {5}
        tens = [info.uri async for info in store.list(f"{prefix}part/1")]
        assert tens == [f"{prefix}part/{number}.bin" for number in range(10, 20)]
        assert [info async for info in store.list(f"{prefix}nothing/")] == []

    async def test_delete_twice(self, store: ObjectStore, prefix: str) -> None:
        uri = f"{prefix}gone"
        if not self.writable:
            with pytest.raises(Unsupported):
                await store.delete(uri)
            return
        await store.write(uri, b"x")
        await store.delete(uri)
        await store.delete(uri)
        with pytest.raises(ObjectNotFound):
            await store.head(uri)

    async def test_presign(self, store: ObjectStore, prefix: str) -> None:
        await self.put(store, f"{prefix}shared", b"x")
        link = await store.presign(f"{prefix}shared", expires_s=60)
        assert (link is not None) == self.presigns

    async def test_messages_hold_no_secret(
        self, store: ObjectStore, prefix: str, tmp_path: Path
    ) -> None:
        uri = f"{prefix}missing?X-Signature=canary-query"
        for attempt in (store.head(uri), store.read(uri), store.download(uri, tmp_path / "x")):
            with pytest.raises(StorageError) as caught:
                await attempt
            text = f"{caught.value!r} {caught.value.__cause__!r}"
            assert "missing" in text
            for canary in ("canary-query", *self.canaries):
                assert canary not in text


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
