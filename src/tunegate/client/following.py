"""Streams that go on where they broke: a job's events and its log."""

import codecs
from typing import cast

import msgspec

from tunegate.client import calls
from tunegate.client.flows import Flows
from tunegate.client.sse import SseParser
from tunegate.client.steps import Answer, Call, Give, NoAnswer, Open, Opened, Pause, Read, Stream
from tunegate.contract.job import TERMINAL, Job, JobEvent

_QUIET_S = 60.0
"""The gateway sends a sign of life every 15 s."""
_RECONNECT_S = 2.0


def follow_events(flows: Flows, job_id: str, after: int) -> Stream:
    """Gives every event after number `after`, once, to the job's end, over any number of connections."""
    patience = flows.patience()
    while True:
        call = Call(
            method="GET",
            path=calls.job(job_id, "/events"),
            accept="text/event-stream",
            headers={"last-event-id": str(after)} if after else {},
        )
        outcome = cast("Answer | NoAnswer | Opened", (yield Open(call, _QUIET_S)))
        if isinstance(outcome, Answer) and outcome.status == 204:
            return
        if not isinstance(outcome, Opened):
            pause = patience.pause(outcome, safe=True)
            if pause is None:
                raise flows.failure(outcome)
            yield pause
            continue
        parser, final = SseParser(), False
        while isinstance(chunk := (yield Read()), bytes):
            for message in parser.feed(chunk):
                event = msgspec.json.decode(message.data, type=JobEvent)
                if event.sequence <= after:
                    continue
                patience.failures = 0
                after, final = event.sequence, event.status in TERMINAL
                yield Give(event)
        if not final:  # the gateway went, or the connection broke
            if (
                pause := patience.pause(NoAnswer("the stream broke", sent=True), safe=True)
            ) is None:
                raise flows.failure(NoAnswer("the stream of events breaks again and again", True))
            yield Pause(min(pause.seconds, parser.retry_s or _RECONNECT_S))


def read_logs(flows: Flows, job_id: str, offset: int, *, follow: bool) -> Stream:
    """Gives the log's text from byte `offset`; with `follow` to the job's end, over any number of connections."""
    text = codecs.getincrementaldecoder("utf-8")("replace")
    patience, over = flows.patience(), not follow
    while True:
        query = {"offset": str(offset)} | ({} if over else {"follow": "true"})
        path = calls.job(job_id, "/logs")
        call = Call(method="GET", path=path, query=query, accept="text/plain")
        outcome = cast(
            "Answer | NoAnswer | Opened", (yield Open(call, None if follow else _QUIET_S))
        )
        if not isinstance(outcome, Opened):
            pause = patience.pause(outcome, safe=True)
            if pause is None:
                raise flows.failure(outcome)
            yield pause
            continue
        chunk: bytes | NoAnswer | None
        while isinstance(chunk := (yield Read()), bytes):
            patience.failures, offset = 0, offset + len(chunk)
            if piece := text.decode(chunk):
                yield Give(piece)
        if chunk is None and over:
            if rest := text.decode(b"", final=True):
                yield Give(rest)
            return
        job = yield from flows.ask(calls.get(calls.job(job_id)), Job)
        over = over or job.status in TERMINAL  # then once more, for what came last
        if not over or chunk is not None:
            yield Pause(_RECONNECT_S)
