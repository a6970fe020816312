"""Make the model trainable: a PEFT adapter on frozen weights, or the weights themselves."""

import dataclasses
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from torch import nn

from tunegate.contract.training import AdapterPlan, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.blocks import Blocks, choose_blocks, describe
from tunegate.trainer.initialisation import choose_start, start_with_loftq
from tunegate.trainer.model import model_name
from tunegate.trainer.vocabulary import with_new_tokens

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
UNSERVED = {
    "ADALORA": "its budget would have to change while it trains",
    "XLORA": "it mixes adapters",
    "CPT": "it wants a type for each token",
    "MULTITASK_PROMPT_TUNING": "its rows must name their tasks",
    "POLY": "its rows must name their tasks",
    "SHADOW": "it gives its layers more than hidden states",
}
KEEPS_ACTIVATIONS = frozenset({"PREFIX_TUNING", "CARTRIDGE"})
"""Their virtual tokens are a cache, which does not go together with computing activations again."""


def make_trainable(
    model: "PreTrainedModel", spec: TrainingSpec, new_tokens: range = range(0)
) -> tuple[nn.Module, str]:
    """The model with what should train set to train, and a sentence on how much that is.

    `new_tokens` are those that the model was just given rows for. Raises TunegateError config_invalid, model_invalid.
    """
    blocks = choose_blocks(model, spec)
    total = sum(_size(parameter) for parameter in model.parameters())
    keeps = spec.adapter is not None and spec.adapter.peft_type.upper() in KEEPS_ACTIVATIONS
    if spec.tuning.gradient_checkpointing and not keeps:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trained: nn.Module = model
    if spec.adapter is None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(blocks is None or blocks.is_chosen(name))
    else:
        plan = with_new_tokens(model, spec.adapter, new_tokens)
        trained = _add_adapter(model, plan, spec, blocks)
    trainable = sum(p.numel() for p in trained.parameters() if p.requires_grad)
    trained.train()
    sentence = describe(blocks, spec, trainable, total)
    if spec.tuning.gradient_checkpointing and keeps:
        sentence += "; this type of adapter does without gradient checkpointing"
    return trained, sentence


def _add_adapter(
    model: "PreTrainedModel", plan: AdapterPlan, spec: TrainingSpec, blocks: Blocks | None
) -> nn.Module:
    from peft import get_peft_model

    plan, loftq = choose_start(plan, spec.quantization)
    config = _peft_config(model, plan, blocks)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    except (
        ValueError, TypeError, NotImplementedError, RuntimeError, AttributeError, ImportError,
    ) as error:  # fmt: skip
        raise TunegateError("config_invalid", f"PEFT refuses the adapter: {error}") from error
    for parameter in adapted.parameters():
        if parameter.requires_grad:  # modules_to_save, which PEFT leaves as the base is
            parameter.data = parameter.data.float()
    if loftq:
        start_with_loftq(adapted, Path(str(model.name_or_path)))
    config.base_model_name_or_path = model_name(spec.model)
    config.revision = spec.model.revision if spec.model.weights_url is None else None
    if not any(parameter.requires_grad for parameter in adapted.parameters()):
        raise TunegateError("config_invalid", "With these settings no part of the adapter trains.")
    return adapted


def _peft_config(
    model: "PreTrainedModel", plan: AdapterPlan, blocks: Blocks | None
) -> "PeftConfig":
    kind = _config_class(plan.peft_type)
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(plan.options) - known)
    if unknown:
        hints = [f"{key}{_near(key, known)}" for key in unknown]
        sentence = f"PEFT's {kind.__name__} does not know {', '.join(hints)}."
        raise TunegateError("config_invalid", sentence)
    settings: dict[str, Any] = {"task_type": "CAUSAL_LM", **_our_settings(plan, known)}
    settings |= plan.options
    if plan.peft_type.upper() == "IA3":
        plan = _with_ia3_modules(model, plan)
        settings |= plan.options
    if "target_modules" in known:
        settings |= _targets(model, plan, known, blocks)
    elif blocks is not None and blocks.chosen is not None:
        sentence = f"trainable_layers can't be kept with {plan.peft_type}, which has no layers."
        raise TunegateError("config_invalid", sentence)
    try:
        return kind(**settings)
    except (ValueError, TypeError) as error:
        sentence = f"PEFT's {kind.__name__} refuses these settings: {error}"
        raise TunegateError("config_invalid", sentence) from error


def _config_class(peft_type: str) -> type["PeftConfig"]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {str(kind.value): found for kind, found in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = peft_type.upper()
    if name not in kinds:
        sentence = f"PEFT has no type {peft_type}; it has {', '.join(sorted(kinds))}."
        raise TunegateError("config_invalid", sentence)
    if name in UNSERVED:
        raise TunegateError("config_invalid", f"{name} is not served: {UNSERVED[name]}.")
    return kinds[name]


def _our_settings(plan: AdapterPlan, known: set[str]) -> dict[str, Any]:
    """The plan's own fields, where they mean the same for this type."""
    if plan.peft_type.upper() == "LORA":
        return {"r": plan.rank, "lora_alpha": _whole(plan.alpha), "lora_dropout": plan.dropout}
    settings: dict[str, Any] = {}
    if "r" in known and "oft_block_size" not in known:
        settings["r"] = plan.rank
    if {"r", "alpha"} <= known:
        settings["alpha"] = _whole(plan.alpha)
    return settings


def _with_ia3_modules(model: "PreTrainedModel", plan: AdapterPlan) -> AdapterPlan:
    """IA3's own choice of layers for this architecture, where the job leaves it open."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD,
    )
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS

    kind = model.config.model_type
    targets = plan.target_modules or plan.options.get("target_modules") or TARGETS.get(kind)
    if not targets:
        sentence = (
            f"IA3 has no usual layers for {kind}: name target_modules and feedforward_modules."
        )
        raise TunegateError("config_invalid", sentence)
    if isinstance(targets, str) or "feedforward_modules" in plan.options:
        options = plan.options
    else:
        inside = [name for name in FEEDFORWARD.get(kind, []) if name in targets]
        options = {**plan.options, "feedforward_modules": inside}
    chosen = None if isinstance(targets, str) else list(targets)
    return msgspec.structs.replace(plan, target_modules=chosen, options=options)


def _targets(
    model: "PreTrainedModel", plan: AdapterPlan, known: set[str], blocks: Blocks | None
) -> dict[str, Any]:
    """`target_modules`, narrowed to the chosen blocks where the job chose some."""
    wanted: Any = plan.target_modules or plan.options.get("target_modules") or ALL_LINEAR
    if wanted == [ALL_LINEAR]:
        wanted = ALL_LINEAR
    if isinstance(wanted, list):
        _check_targets(model, [str(name) for name in wanted])
    if blocks is None or blocks.chosen is None:
        return {"target_modules": wanted}
    names = _linear_names(model) if wanted == ALL_LINEAR else _all_names(model)
    if isinstance(wanted, list):
        names = _matching(names, wanted)
    elif wanted != ALL_LINEAR:
        sentence = "A pattern as target_modules and trainable_layers exclude each other."
        raise TunegateError("config_invalid", sentence)
    inside = [name for name in names if blocks.is_chosen(name)]
    if not inside:
        sentence = "The target_modules have no part in the blocks that trainable_layers names."
        raise TunegateError("config_invalid", sentence)
    if "layers_to_transform" not in known:
        feedforward = plan.options.get("feedforward_modules")
        also = {"feedforward_modules": _matching(inside, feedforward)} if feedforward else {}
        return {"target_modules": inside, **also}
    return {
        "target_modules": sorted({name.rpartition(".")[2] for name in inside}),
        "layers_to_transform": blocks.chosen,
        "layers_pattern": blocks.pattern,
    }


def _check_targets(model: "PreTrainedModel", wanted: list[str]) -> None:
    names = _all_names(model)
    unmatched = [one for one in wanted if not _matching(names, [one])]
    if unmatched:
        there = sorted({name.rpartition(".")[2] for name in _linear_names(model)})
        sentence = (
            f"target_modules: {', '.join(unmatched)} is in no layer of this model, "
            f"which has {', '.join(there)}."
        )
        raise TunegateError("config_invalid", sentence)


def _matching(names: list[str], wanted: list[str]) -> list[str]:
    """The names that PEFT takes a list of modules to mean: whole names, or last parts of them."""
    return [n for n in names if any(n == w or n.endswith(f".{w}") for w in wanted)]


def _all_names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name]


def _linear_names(model: "PreTrainedModel") -> list[str]:
    """Linear layers and their like (GPT-2's Conv1D), without the output layer."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if module is not head
        and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    ]


def _near(key: str, known: set[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _whole(value: float) -> float | int:
    """PEFT writes alpha as an integer where it is one."""
    return int(value) if value.is_integer() else value


def _size(parameter: nn.Parameter) -> int:
    """Numbers in a parameter; 4-bit weights stand two to a byte."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() * parameter.itemsize * 2 if packed is not None else parameter.numel()
