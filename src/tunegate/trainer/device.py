"""`Device`: where this process computes."""

import contextlib
import ctypes
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.place import ALONE, Place

Half = Literal["bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
MALLOC_SETTINGS = ((-1, 2**31 - 1), (-3, 2**30))
"""M_TRIM_THRESHOLD: never shrink the heap; M_MMAP_THRESHOLD: map only what is larger than a gigabyte."""
DTYPE_NAMES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


@dataclass(frozen=True, slots=True)
class Device:
    """The one place that knows of CUDA."""

    torch_device: torch.device

    @property
    def is_cuda(self) -> bool:
        return self.torch_device.type == "cuda"

    def take(self, numbers: NDArray[Any]) -> Tensor:
        """Onto the device; the host does not wait for the copy."""
        tensor = torch.from_numpy(numbers)
        if self.is_cuda:
            return tensor.pin_memory().to(self.torch_device, non_blocking=True)
        return tensor


def pick_device(cpu_threads: int | None, place: Place = ALONE) -> Device:
    """A CUDA device of its own for each process of a node, where there are any; else its share of the CPUs.

    Raises TunegateError config_invalid when there are more processes than devices.
    """
    if torch.cuda.is_available():
        there = torch.cuda.device_count()
        if place.local_world > there > 1:
            sentence = f"{place.local_world} processes have {there} GPUs between them."
            raise TunegateError("config_invalid", sentence)
        if there > 1:  # else the launcher shows each process its own
            torch.cuda.set_device(place.local_rank)
        return Device(torch.device("cuda", torch.cuda.current_device()))
    if cpu_threads is not None:
        torch.set_num_threads(max(1, cpu_threads // place.local_world))
    keep_freed_memory()
    return Device(torch.device("cpu"))


def keep_freed_memory() -> None:
    """Have malloc keep what a step gives back for the next step, in place of returning it to the system.

    Else glibc maps and unmaps every large tensor, and the system clears the same pages again in each step: measured,
    5 to 10 per cent of a step on a CPU. Other C libraries stay as they are.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            for setting, size_bytes in MALLOC_SETTINGS:
                mallopt(setting, size_bytes)


@dataclass(frozen=True, slots=True)
class Precision:
    """In which numbers the run computes.

    Adapters: the base stands in `weights` (bf16, fp16 or fp32), adapter weights are fp32, products run in `compute`.
    Full fine-tuning: weights are fp32 throughout, for an update of one part in 256 is lost on a bf16 weight; products
    run in `compute` on every device. fp16 needs loss scaling, which only CUDA has: elsewhere bf16 takes its place.
    """

    weights: torch.dtype
    compute: torch.dtype
    notes: tuple[str, ...] = ()

    @property
    def scales_loss(self) -> bool:
        return self.compute is torch.float16

    def autocast(self, device: Device) -> contextlib.AbstractContextManager[object]:
        """Products in `compute`, the rest as the operation needs it."""
        if self.compute is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.torch_device.type, dtype=self.compute)


def choose_precision(spec: TrainingSpec, device: Device) -> Precision:
    """The precision of a job on this device."""
    quantization = spec.quantization
    name: str = spec.precision
    if quantization is not None and quantization.kind != "int8":
        name = DTYPE_NAMES[quantization.compute_dtype]
    notes: tuple[str, ...] = ()
    if name == "fp16" and not device.is_cuda:
        name = "bf16"
        notes = ("this machine has no GPU: fp16 needs one, so bf16 takes its place",)
    compute = DTYPES[name]
    weights = torch.float32 if spec.method == "full" else compute
    return Precision(weights=weights, compute=compute, notes=notes)
