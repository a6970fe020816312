"""The method and its fields: which of them count, which contradict each other, which are out of range."""

import itertools
import re
from collections.abc import Iterator

from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import Customization, TrainRequest
from tunegate.sdk.adapter import Spelling, peft_config, peft_type, spellings
from tunegate.sdk.checks import Finding
from tunegate.sdk.resolve import TrainingMethod

MAX_RANK = 1024
MAX_BLOCKS = 4096
_BLOCK = re.compile(r"(?:[A-Za-z_]\w*\.)*(\d{1,9})", re.ASCII)


def check_method(job: TrainRequest, *, method: TrainingMethod) -> Iterator[Finding]:
    """All of `customization` but for `method` itself, which routing has dealt with."""
    custom = job.customization
    if method == "full":
        yield from _ignored_by_full(custom)
    else:
        yield from _check_adapter(custom, method)
    if custom.qlora is not None and method != "qlora":
        reason = "only method qlora quantises the base weights to 4 bits"
        yield Ignored(path="$.customization.qlora", reason=reason)
    if custom.precision == "int8" and method in {"full", "qlora"}:
        why = "8-bit weights can't be trained" if method == "full" else "qlora has 4-bit weights"
        message = f"{why}: take bf16, fp16 or fp32"
        yield Problem(path="$.customization.precision", message=message, code="not_supported")
    yield from check_trainable_layers(custom)
    tuning = job.tuning_parameters
    has_b_matrices = method != "full" and peft_type(custom) == "LORA"
    if tuning is not None and tuning.loraplus_lr_ratio is not None and not has_b_matrices:
        reason = "only LORA adapters have the two matrices that it tells apart"
        yield Ignored(path="$.tuning_parameters.loraplus_lr_ratio", reason=reason)


def block_number(layer: str) -> int | None:
    """The block that a layer name means: 0 for `decoder.layers.0`, `model.layers.0` and `layers.0`."""
    found = _BLOCK.fullmatch(layer)
    return int(found[1]) if found else None


def check_trainable_layers(custom: Customization) -> Iterator[Finding]:
    """Names must end in a block number; whether the model has that block is seen when it is loaded."""
    path = "$.customization.trainable_layers"
    layers = custom.trainable_layers
    if layers == []:
        yield Ignored(path=path, reason="an empty list limits nothing: all layers train")
    for index, layer in enumerate(layers or []):
        number = block_number(layer)
        if number is None:
            message = "name a block of the model, like layers.0 or model.layers.0"
            yield Problem(path=f"{path}[{index}]", message=message, code="invalid_format")
        elif number >= MAX_BLOCKS:
            message = f"a block number must be below {MAX_BLOCKS}"
            yield Problem(path=f"{path}[{index}]", message=message, code="out_of_range")


def _ignored_by_full(custom: Customization) -> Iterator[Finding]:
    reason = "full fine-tuning has no adapter"
    for field in ("rank", "target_modules", "lora_alpha", "lora_dropout", "lora"):
        if getattr(custom, field) is not None:
            yield Ignored(path=f"$.customization.{field}", reason=reason)
    if custom.peft is not None and custom.peft.use is not False:
        yield Ignored(path="$.customization.peft", reason=reason)


def _check_adapter(custom: Customization, method: TrainingMethod) -> Iterator[Finding]:
    kind = peft_type(custom)
    yield from _check_peft(custom, method, kind)
    given = list(spellings(custom))
    for spelling in given:
        yield from _check_spelling(spelling)
    usable = [spelling for spelling in given if spelling.applies and spelling.fits]
    for _, group in itertools.groupby(usable, key=lambda spelling: spelling.field):
        first, *others = group
        for other in others:
            if other.value != first.value:
                message = f"contradicts {first.path}: give one of them, or the same value in both"
                yield Problem(path=other.path, message=message, code="conflicting_fields")
    for path, modules in _module_lists(custom):
        if modules == []:
            yield Ignored(path=path, reason="an empty list chooses nothing: all linear layers")


def _check_peft(custom: Customization, method: TrainingMethod, kind: str) -> Iterator[Finding]:
    peft, path = custom.peft, "$.customization.peft"
    if peft is not None and peft.use is False:
        if method == "peft":
            yield Ignored(path=f"{path}.use", reason="this method is PEFT: its config counts")
        elif peft.config:
            yield Ignored(path=f"{path}.config", reason="peft.use is false")
    named = peft_config(custom).get("peft_type")
    if named is not None and not isinstance(named, str):
        message = "must be a string"
        yield Problem(path=f"{path}.config.peft_type", message=message, code="wrong_type")
    if method != "peft" and kind != "LORA":
        message = f"method {method} trains a LORA adapter: take method peft for other types"
        yield Problem(path=f"{path}.config.peft_type", message=message, code="conflicting_fields")


def _check_spelling(spelling: Spelling) -> Iterator[Finding]:
    if not spelling.fits:
        message = f"is no valid {spelling.field}"
        yield Problem(path=spelling.path, message=message, code="wrong_type")
    elif not spelling.applies:
        reason = f"an adapter of this type has no {spelling.field}: it takes its settings from peft.config"
        yield Ignored(path=spelling.path, reason=reason)
    elif spelling.field == "rank" and spelling.value > MAX_RANK:
        message = f"must be at most {MAX_RANK}"
        yield Problem(path=spelling.path, message=message, code="out_of_range")
    elif spelling.field == "dropout" and spelling.value >= 1:
        message = "must be below 1: nothing would be left to train"
        yield Problem(path=spelling.path, message=message, code="out_of_range")


def _module_lists(custom: Customization) -> Iterator[tuple[str, list[str] | None]]:
    yield "$.customization.target_modules", custom.target_modules
    if custom.lora is not None:
        yield "$.customization.lora.target_modules", custom.lora.target_modules
