"""What a training job said, from CloudWatch Logs: the first node's stream, then those of the others.

The order is the same at every reading, so that an offset in bytes means the same place.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError

from tunegate.launchers.sagemaker.trouble import engine_trouble, is_missing
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable
from tunegate.storage.aws import Client
from tunegate.storage.aws_errors import code_of

GROUP = "/aws/sagemaker/TrainingJobs"
IsOver = Callable[[], Awaitable[bool]]


class JobLogs:
    """Raises EngineUnavailable."""

    def __init__(self, client: Client, clock: Clock, look_s: float) -> None:
        self._client = client
        self._clock = clock
        self._look_s = look_s

    async def read(
        self, job: str, offset: int, is_over: IsOver | None
    ) -> AsyncGenerator[bytes, None]:
        """From byte `offset`; with `is_over` until that says so and no more comes."""
        skip = offset
        async for chunk in self._lines(job, is_over):
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(0, skip - len(chunk))

    async def _lines(self, job: str, is_over: IsOver | None) -> AsyncGenerator[bytes, None]:
        streams = await self._streams(job)
        while not streams and is_over is not None and not await is_over():
            await self._clock.sleep(self._look_s)
            streams = await self._streams(job)
        if not streams:
            return
        async for chunk in self._stream(streams[0], is_over):
            yield chunk
        for stream in (await self._streams(job))[1:]:  # the others may have begun later
            yield f"--- {stream.partition('/')[2]}\n".encode()
            async for chunk in self._stream(stream, None):
                yield chunk

    async def _stream(self, stream: str, is_over: IsOver | None) -> AsyncGenerator[bytes, None]:
        token: str | None = None
        over = is_over is None
        while True:
            where = {"nextToken": token} if token else {}
            page = await self._call(
                "get_log_events",
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **where,
            )  # fmt: skip
            events = page.get("events", ())
            if events:
                yield b"".join(f"{one['message']}\n".encode() for one in events)
            more = page.get("nextForwardToken")
            if more != token:
                token = more
                continue
            if over or is_over is None:
                return
            over = await is_over()  # what came before the end is read once more
            if not over:
                await self._clock.sleep(self._look_s)

    async def _streams(self, job: str) -> list[str]:
        """`<job>/algo-1-1700000000`, in order of the node's number."""
        page = await self._call(
            "describe_log_streams", logGroupName=GROUP, logStreamNamePrefix=f"{job}/"
        )
        return sorted((one["logStreamName"] for one in page.get("logStreams", ())), key=_node)

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        try:
            with engine_trouble():
                return await getattr(self._client, operation)(**request)
        except ClientError as error:
            if is_missing(error) or code_of(error) == "ResourceNotFoundException":
                return {}
            raise EngineUnavailable(f"CloudWatch Logs refused ({code_of(error)})") from None


def _node(stream: str) -> tuple[int, str]:
    parts = stream.rpartition("/")[2].split("-")
    number = parts[1] if len(parts) > 1 else ""
    return (int(number) if number.isdigit() else 0, stream)
