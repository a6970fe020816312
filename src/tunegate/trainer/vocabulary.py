"""A tokenizer with more tokens than its model knows: the embeddings grow, and the new rows train."""

from typing import TYPE_CHECKING, Any

import msgspec
from torch import nn

from tunegate.contract.training import AdapterPlan
from tunegate.sdk.errors import TunegateError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OPTION = "trainable_token_indices"


def grow_vocabulary(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> range:
    """Give the model a row for each token of the tokenizer; returns the tokens that were new to it.

    New rows begin near the mean of the others. The number of rows is then the tokenizer's: that is what PEFT and
    transformers make of a base when they load a result with such a tokenizer.
    """
    embeddings: Any = model.get_input_embeddings()
    known, used = embeddings.weight.shape[0], len(tokenizer)
    if used > known:
        model.resize_token_embeddings(used)
    return range(known, max(known, used))


def with_new_tokens(model: "PreTrainedModel", plan: AdapterPlan, new: range) -> AdapterPlan:
    """The adapter that also trains, and brings with it, the rows of the new tokens.

    Raises TunegateError model_invalid for types of adapter that can't.
    """
    if not new:
        return plan
    if plan.peft_type.upper() != "LORA":
        sentence = (
            f"The tokenizer has {new.stop} tokens, the base model knows {new.start}; "
            "only LoRA and full fine-tuning can teach it the others."
        )
        raise TunegateError("model_invalid", sentence)
    whole = plan.options.get("modules_to_save") or []
    asked = plan.options.get(OPTION)
    layers = {name: list(new) for name in _vocabulary_layers(model) if name not in whole}
    if isinstance(asked, dict):
        layers |= {name: sorted({*asked[name], *layers.get(name, [])}) for name in asked}
    elif asked:
        layers = {name: sorted({*asked, *tokens}) for name, tokens in layers.items()}
    return msgspec.structs.replace(plan, options={**plan.options, OPTION: layers or None})


def _vocabulary_layers(model: "PreTrainedModel") -> list[str]:
    """The embeddings' name, and the output layer's where it has weights of its own."""
    embeddings: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    names = [_last_name(model, embeddings)]
    if head is not None and head.weight is not embeddings.weight:
        names.append(_last_name(model, head))
    return names


def _last_name(model: nn.Module, wanted: nn.Module) -> str:
    found = next(name for name, module in model.named_modules() if module is wanted)
    return found.rpartition(".")[2]
