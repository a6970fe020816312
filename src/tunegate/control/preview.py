"""A look at the first bytes of a job's data sets and at its model's config. Trouble becomes a sentence, never an error."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import Auth, Dataset, TrainRequest
from tunegate.control.context import ControlContext
from tunegate.control.estimate import DataSize
from tunegate.control.model_shape import ModelShape, shape_from_config, shape_from_name
from tunegate.sdk.addresses import path_of, public_address, query_of, scheme_of, without_query
from tunegate.sdk.data import (
    ChatRow,
    CompletionRow,
    PreferenceRow,
    Row,
    RowError,
    RowInvalid,
    SourceRow,
    TextRow,
    normalise,
    sample_rows,
)
from tunegate.sdk.storage import StorageError

SAMPLE_BYTES = 2**20
BYTES_PER_TOKEN = 4.0
"""Of UTF-8 text, as usual for English with a vocabulary of 32 thousand and more."""
_TIMEOUT_S = 15.0
_AT_ONCE = 4
_REASONS_SHOWN = 3
_CONFIG_BYTES = 2**20


class DataSample(Wire):
    """What the beginning of one data set tells. `estimated_*` are for the whole of it."""

    source: str
    split: str | None
    rows_seen: int = 0
    bad_rows_seen: int = 0
    reasons: list[str] = []
    shapes: dict[str, int] = {}
    bytes_seen: int = 0
    size_bytes: int | None = None
    estimated_rows: int | None = None
    estimated_tokens: int | None = None
    note: str | None = None
    """Why there is no sample."""


async def sample_data(
    context: ControlContext, request: TrainRequest, max_tokens: int
) -> list[DataSample]:
    """One sample per data set, in the order of the request. `max_tokens`: rows are cut there."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(dataset: Dataset) -> DataSample:
        async with turn:
            return await _sample(context, dataset, max_tokens)

    return list(await asyncio.gather(*(one(dataset) for dataset in request.datasets)))


def training_size(samples: Sequence[DataSample]) -> DataSize | None:
    """Rows and tokens of all training data; None when any of it could not be sampled."""
    training = [s for s in samples if s.split is None or s.split.lower().startswith("train")]
    rows = [s.estimated_rows for s in training if s.estimated_rows is not None]
    tokens = [s.estimated_tokens for s in training if s.estimated_tokens is not None]
    if not training or len(rows) < len(training) or len(tokens) < len(training) or not sum(rows):
        return None
    return DataSize(rows=sum(rows), tokens=sum(tokens))


async def model_shape(context: ControlContext, request: TrainRequest) -> ModelShape | None:
    """From config.json where the weights lie in a folder that can be read, else from the name."""
    model = request.base_model
    folder = model.weights_url or model.model_name
    if scheme_of(folder) or folder.startswith("/"):
        query = f"?{query_of(folder)}" if query_of(folder) else ""
        uri = without_query(folder).rstrip("/") + "/config.json" + query
        try:
            data = await _read(context, uri, request.artifacts.auth, _CONFIG_BYTES)
            config = msgspec.json.decode(data, type=dict[str, object])
        except (StorageError, TimeoutError, OSError, ValueError):
            config = {}
        shape = shape_from_config(config)
        if shape is not None:
            return shape
    return shape_from_name(model.model_name)


async def _sample(context: ControlContext, dataset: Dataset, max_tokens: int) -> DataSample:
    sample = DataSample(source=public_address(dataset.source), split=dataset.split)
    if dataset.format == "hf":
        return msgspec.structs.replace(sample, note="Data sets of the hub are not sampled.")
    try:
        head = await _read(context, dataset.source, dataset.auth, SAMPLE_BYTES)
        size = await _size(context, dataset, head)
    except TimeoutError:
        return msgspec.structs.replace(sample, note="The store did not answer in time.")
    except (StorageError, OSError) as error:
        kind = str(error) if isinstance(error, StorageError) else type(error).__name__
        return msgspec.structs.replace(sample, note=f"Not readable from the gateway: {kind}")
    return await asyncio.to_thread(_digest, sample, dataset, head, size, max_tokens)


async def _read(context: ControlContext, uri: str, auth: Auth | None, limit: int) -> bytes:
    async with asyncio.timeout(_TIMEOUT_S), context.open_store(uri, context.storage, auth) as store:
        return await store.read(uri, offset=0, length=limit)


async def _size(context: ControlContext, dataset: Dataset, head: bytes) -> int | None:
    """None where the store does not say; a presigned link may allow reading and nothing else."""
    if len(head) < SAMPLE_BYTES:
        return len(head)
    uri = dataset.source
    async with asyncio.timeout(_TIMEOUT_S):
        async with context.open_store(uri, context.storage, dataset.auth) as store:
            try:
                return (await store.head(uri)).size_bytes
            except StorageError:
                return None


def _digest(
    sample: DataSample, dataset: Dataset, head: bytes, size: int | None, max_tokens: int
) -> DataSample:
    name = path_of(dataset.source).rpartition("/")[2] or "data"
    shapes: Counter[str] = Counter()
    tokens, reasons = 0.0, list[str]()
    for item in sample_rows(head, name=name, declared=dataset.format, whole=size == len(head)):
        row = _row(item)
        if isinstance(row, str):
            reasons.append(row)
            continue
        shapes[_shape(row)] += 1
        tokens += min(_text_bytes(row) / BYTES_PER_TOKEN, max_tokens)
    rows = shapes.total()
    factor = size / len(head) if size is not None and head else None
    return msgspec.structs.replace(
        sample,
        rows_seen=rows,
        bad_rows_seen=len(reasons),
        reasons=reasons[:_REASONS_SHOWN],
        shapes=dict(shapes),
        bytes_seen=len(head),
        size_bytes=size,
        estimated_rows=round(rows * factor) if factor and rows else None,
        estimated_tokens=round(tokens * factor) if factor and rows else None,
        note=None if rows or reasons else "No row can be read from the beginning of this file.",
    )


def _row(item: SourceRow | RowError) -> Row | str:
    """The row, or why it can't be trained on."""
    if isinstance(item, RowError):
        return str(item)
    try:
        return normalise(item.value, train_on="all")
    except RowInvalid as invalid:
        return f"row {item.line}: {invalid}"


def _shape(row: Row) -> str:
    match row:
        case TextRow():
            return "text"
        case CompletionRow():
            return "prompt and completion"
        case ChatRow():
            return "chat"
        case PreferenceRow():
            return "preference"


def _text_bytes(row: Row) -> int:
    match row:
        case TextRow(text=text):
            return len(text.encode())
        case CompletionRow(prompt=prompt, completion=completion):
            return len(prompt.encode()) + len(completion.encode())
        case ChatRow(messages=messages):
            return sum(len(message.content.encode()) + 16 for message in messages)
        case PreferenceRow(chosen=chosen, rejected=rejected):
            return _text_bytes(chosen) + _text_bytes(rejected)
