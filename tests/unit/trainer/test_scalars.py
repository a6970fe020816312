"""TensorBoard reads what the trainer writes for it."""

from pathlib import Path

import pytest

from tunegate.contract.attempt import MetricsEvent
from tunegate.trainer.scalars import write_scalars

loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_the_files_of_a_run_are_one_curve(tmp_path: Path) -> None:
    write_scalars(tmp_path, [MetricsEvent(step=1, values={"loss": 2.5, "lr": 1e-4})])
    write_scalars(tmp_path, [MetricsEvent(step=2, values={"loss": 2.25})])
    read = loader.EventAccumulator(str(tmp_path))
    read.Reload()
    assert read.Tags()["scalars"] == ["loss", "lr"]
    assert [(point.step, point.value) for point in read.Scalars("loss")] == [(1, 2.5), (2, 2.25)]
