"""Metrics as TensorBoard's event files."""

import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tunegate.contract.attempt import MetricsEvent


def write_scalars(folder: Path, metrics: Sequence[MetricsEvent]) -> None:
    """One file more in `folder`, which TensorBoard reads together with those before it.

    Written by TensorBoard's record writer in this thread; its summary writers begin one for each file.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    # Protobuf makes their classes as they load, so that they have no types.
    protos = (
        import_module(f"tensorboard.compat.proto.{name}_pb2") for name in ("event", "summary")
    )
    event_pb2, summary_pb2 = protos

    folder.mkdir(parents=True, exist_ok=True)
    now_s = time.time()
    head = event_pb2.Event(
        wall_time=now_s,
        file_version="brain.Event:2",
        source_metadata=event_pb2.SourceMetadata(writer="tunegate"),
    )
    events = [
        event_pb2.Event(
            wall_time=now_s,
            step=event.step,
            summary=summary_pb2.Summary(
                value=[summary_pb2.Summary.Value(tag=name, simple_value=value)]
            ),
        )
        for event in metrics
        for name, value in event.values.items()
    ]
    with (folder / f"events.out.tfevents.{time.time_ns():020d}").open("wb") as file:
        writer = RecordWriter(file)
        for event in (head, *events):
            writer.write(event.SerializeToString())
        writer.flush()
