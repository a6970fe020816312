"""Exceptions and the codes that they become."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch

from tunegate.sdk import storage
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.background import Background
from tunegate.trainer.errors import as_failure, model_storage_errors, output_storage_errors
from tunegate.trainer.stop import StopFlag, StopRequested


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TunegateError("diverged"), "diverged"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("shapes differ"), "trainer_crashed"),
    ],
)
def test_codes_of_exceptions(error: Exception, code: str) -> None:
    assert as_failure(error).code == code


@pytest.mark.parametrize(
    ("error", "of_model", "of_output"),
    [
        (storage.ObjectNotFound("x"), "model_not_found", "output_not_writable"),
        (storage.AccessDenied("x"), "model_access_denied", "output_not_writable"),
        (storage.NotAllowed("x"), "model_access_denied", "output_not_writable"),
        (storage.StoreUnavailable("x"), "storage_unavailable", "storage_unavailable"),
        (storage.Unsupported("x"), "model_not_found", "output_not_writable"),
        (storage.StorageError("changed"), "storage_unavailable", "output_not_writable"),
    ],
)
def test_codes_of_stores(error: Exception, of_model: str, of_output: str) -> None:
    def code(translate: Callable[[str], AbstractContextManager[None]]) -> str:
        with pytest.raises(TunegateError) as caught, translate("s3://b/k"):
            raise error
        assert "s3://b/k" in caught.value.detail
        return caught.value.code

    assert code(model_storage_errors) == of_model
    assert code(output_storage_errors) == of_output


def test_waiting_in_the_background_ends_with_a_stop() -> None:
    stop = StopFlag()
    cancelled: list[bool] = []

    async def endless() -> None:
        stop.request("signal")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with Background() as background, pytest.raises(StopRequested) as caught:
        background.run(endless(), stop)
    assert caught.value.reason == "signal"
    assert cancelled == [True]


def test_errors_of_the_background_come_through() -> None:
    async def late() -> None:
        raise TimeoutError("its own")

    with Background() as background, pytest.raises(TimeoutError, match="its own"):
        background.run(late())


def test_the_first_reason_stays_but_for_superseded() -> None:
    stop = StopFlag()
    stop.request("cancel")
    stop.request("deadline")
    assert stop.reason == "cancel"
    stop.request("superseded")
    assert stop.reason == "superseded"
