"""Running one command with a limit on its time; no shell."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from tunegate.contract.base import Wire
from tunegate.sdk.launcher import EngineUnavailable


class Output(Wire):
    """What a command left."""

    code: int
    out: str
    err: str


async def run_command(argv: Sequence[str], env: Mapping[str, str], timeout_s: float) -> Output:
    """Raises EngineUnavailable where it can't be run or takes too long; it is killed then."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise EngineUnavailable(f"{argv[0]} can't be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise EngineUnavailable(f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    code = process.returncode if process.returncode is not None else -1
    return Output(code=code, out=out.decode(errors="replace"), err=err.decode(errors="replace"))
