"""How large a model is: from its config.json where that can be read, else guessed from its name. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from tunegate.contract.base import Wire
from tunegate.sdk.architecture import Architecture

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
_UNIT = {"b": 1e9, "m": 1e6}
_WIDTH_PER_LAYER = 128
_VOCABULARY = 32_000


class ModelShape(Wire):
    """The sizes of a model, how many weights it has in all, and where the numbers come from."""

    architecture: Architecture
    parameters: int
    source: str


def shape_from_config(config: Mapping[str, Any]) -> ModelShape | None:
    """None when the config lacks its sizes."""
    architecture = Architecture.from_config(config)
    if architecture is None:
        return None
    return ModelShape(
        architecture=architecture,
        parameters=architecture.parameters,
        source="config.json of the model",
    )


def shape_from_name(name: str) -> ModelShape | None:
    """`Llama-2-7b` says 7 billion; the sizes follow the usual proportions. None when the name says nothing."""
    found = _SIZE.search(name.rpartition("/")[2])
    if found is None:
        return None
    experts, number, unit = found.groups()
    parameters = round(float(number) * _UNIT[unit.lower()] * int(experts or 1))
    return ModelShape(
        architecture=usual_architecture(parameters),
        parameters=parameters,
        source="the model's name, a guess",
    )


def usual_architecture(parameters: int) -> Architecture:
    """Decoders have about 12 * layers * width^2 weights, and a width of about 128 per layer."""
    layers = max(1, round((parameters / (12 * _WIDTH_PER_LAYER**2)) ** (1 / 3)))
    hidden = _WIDTH_PER_LAYER * layers
    empty = Architecture(
        hidden=hidden, inner=0, layers=layers, heads=layers, key_value_heads=layers,
        head_size=_WIDTH_PER_LAYER, vocabulary=_VOCABULARY,
    )  # fmt: skip
    inner = max(hidden, round((parameters - empty.parameters) / (3 * hidden * layers)))
    return Architecture(
        hidden=hidden, inner=inner, layers=layers, heads=layers, key_value_heads=layers,
        head_size=_WIDTH_PER_LAYER, vocabulary=_VOCABULARY,
    )  # fmt: skip
