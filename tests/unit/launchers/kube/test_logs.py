from collections.abc import AsyncIterator
from pathlib import Path

from tunegate.launchers.kube.logs import LogKeeper, ReadLog


def saying(*words: bytes) -> ReadLog:
    async def read(offset: int, follow: bool) -> AsyncIterator[bytes]:
        said = b"".join(words)[offset:]
        if said:
            yield said

    return read


async def test_a_copy_without_words_stands_in_no_later_one_s_way(tmp_path: Path) -> None:
    keeper = LogKeeper(tmp_path / "logs")
    await keeper.keep("run", saying())
    await keeper.wait("run")
    assert not keeper.is_kept("run")
    await keeper.keep("run", saying(b"begun\n", b"bye\n"))
    await keeper.wait("run")
    assert keeper.path("run").read_bytes() == b"begun\nbye\n"
    await keeper.keep("run", saying(b"another"))
    assert keeper.path("run").read_bytes() == b"begun\nbye\n"
    await keeper.close()
