"""How large a model is: from its config.json where that can be read, else guessed from its name. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from tunegate.contract.base import Wire

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_UNIT = {"b": 1e9, "m": 1e6}
_WIDTH_PER_LAYER = 128
_VOCABULARY = 32_000


class ModelShape(Wire):
    """Parameters in all, width of the residual stream, decoder blocks, and where the numbers come from."""

    parameters: int
    hidden_size: int
    layers: int
    source: str


def shape_from_config(config: Mapping[str, Any]) -> ModelShape | None:
    """Counts the weights of a decoder with gated MLPs; None when the config lacks its sizes."""
    hidden, layers = (
        _number(config, "hidden_size", "n_embd"),
        _number(config, "num_hidden_layers", "n_layer"),
    )
    if hidden is None or layers is None:
        return None
    heads = _number(config, "num_attention_heads", "n_head") or 1
    key_value_heads = _number(config, "num_key_value_heads") or heads
    head_size = _number(config, "head_dim") or hidden // heads
    inner = _number(config, "intermediate_size", "n_inner") or 4 * hidden
    vocabulary = _number(config, "vocab_size") or _VOCABULARY
    experts = _number(config, "num_local_experts", "num_experts") or 1
    attention = 2 * hidden * head_size * (heads + key_value_heads)
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") is True else 2)
    return ModelShape(
        parameters=embeddings + layers * (attention + 3 * hidden * inner * experts),
        hidden_size=hidden,
        layers=layers,
        source="config.json of the model",
    )


def shape_from_name(name: str) -> ModelShape | None:
    """`Llama-2-7b` says 7 billion; width and depth follow the usual proportions. None when the name says nothing."""
    found = _SIZE.search(name.rpartition("/")[2])
    if found is None:
        return None
    experts, number, unit = found.groups()
    parameters = float(number) * _UNIT[unit.lower()] * int(experts or 1)
    # Decoders have about 12 * layers * width^2 weights, and a width of about 128 per layer.
    layers = max(1, round((parameters / (12 * _WIDTH_PER_LAYER**2)) ** (1 / 3)))
    return ModelShape(
        parameters=round(parameters),
        hidden_size=_WIDTH_PER_LAYER * layers,
        layers=layers,
        source="the model's name, a guess",
    )


def _number(config: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
