"""`init_lora_weights`: which of LoRA's starting points are served, and LoftQ, which starts from the quantisation's error."""

from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from safetensors import safe_open
from torch import Tensor, nn

from tunegate.contract.training import AdapterPlan, QuantizationPlan
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.residual import changes_base

OPTION = "init_lora_weights"
LOFTQ = "loftq"
ADAPTER = "default"
LOOKS_AT_DATA = ("eva", "corda", "lora_ga")


def choose_start(
    plan: AdapterPlan, quantization: QuantizationPlan | None
) -> tuple[AdapterPlan, bool]:
    """The adapter as PEFT is to make it, and whether `start_with_loftq` is to follow.

    Raises TunegateError config_invalid.
    """
    start = str(plan.options.get(OPTION, True)).lower()
    if start in LOOKS_AT_DATA:
        raise _refused(start, "it would have to see the data before the training")
    if changes_base(start) and quantization is not None:
        raise _refused(start, "it changes the base weights, and quantised ones can't be changed")
    if start != LOFTQ:
        return plan, False
    if quantization is None or quantization.kind == "int8":
        raise _refused(start, "it starts from the error of 4-bit weights; take method qlora")
    return msgspec.structs.replace(plan, options={**plan.options, OPTION: True}), True


def start_with_loftq(adapted: nn.Module, folder: Path) -> None:
    """Let the adapter begin as what makes up best for the error of the 4-bit weights.

    `folder` holds the unquantised weights as safetensors; one layer at a time is in memory. Raises TunegateError
    config_invalid.
    """
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora import Linear4bit

    causal: Any = cast("Any", adapted).get_base_model()
    files = _files_of_tensors(folder)
    for name, module in causal.named_modules():
        if not isinstance(module, Linear4bit):
            continue
        places = (f"{name}.weight", f"{name.removeprefix(causal.base_model_prefix + '.')}.weight")
        place = next((place for place in places if place in files), None)
        if place is None:
            raise _refused(LOFTQ, f"the base's safetensors have no unquantised {places[0]}")
        layer: Any = module
        quantised = layer.get_base_layer().weight
        rounded = dequantize_4bit(quantised.data, quantised.quant_state).float()
        error = _read(files[place], place).to(rounded) - rounded
        scale = layer.scaling[ADAPTER]
        left, right = _best_factors(error / scale, layer.r[ADAPTER])
        with torch.no_grad():
            layer.lora_B[ADAPTER].weight.copy_(left)
            layer.lora_A[ADAPTER].weight.copy_(right)


def _best_factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Of all products of this rank the one nearest to `matrix`, as (rows x rank, rank x columns)."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * v[:rank]


def _files_of_tensors(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            found |= dict.fromkeys(tensors.keys(), file)
    return found


def _read(file: Path, name: str) -> Tensor:
    with safe_open(file, framework="pt") as tensors:
        return tensors.get_tensor(name)


def _refused(start: str, reason: str) -> TunegateError:
    return TunegateError("config_invalid", f"{OPTION} {start} is not served here: {reason}.")
