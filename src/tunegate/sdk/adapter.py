"""The LoRA fields, which a request may spell in three places: flat, under `lora`, and in `peft.config`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from tunegate.contract.base import Wire
from tunegate.contract.request import Customization, Fraction, Name, PositiveFloat, PositiveInt
from tunegate.contract.training import AdapterPlan


class _Field(NamedTuple):
    """A field of AdapterPlan and its names in the three places."""

    plan: str
    flat: str
    nested: str
    config: str
    kind: Any
    lora_only: bool = True


_FIELDS = (
    _Field("rank", "rank", "rank", "r", PositiveInt),
    _Field("alpha", "lora_alpha", "alpha", "lora_alpha", PositiveFloat),
    _Field("dropout", "lora_dropout", "dropout", "lora_dropout", Fraction),
    _Field(
        "target_modules", "target_modules", "target_modules", "target_modules",
        list[Name] | Name, lora_only=False,
    ),
)  # fmt: skip


class Spelling(Wire):
    """One place where a request gives an adapter field."""

    field: str
    path: str
    value: Any
    fits: bool = True
    """Whether the value has the field's type (inside the open `peft.config` it may not)."""
    applies: bool = True
    """Whether the PEFT type of the job has such a field."""


def peft_config(customization: Customization) -> dict[str, Any]:
    """The open PEFT settings, unless `peft.use` is false and the method does not insist on PEFT."""
    peft = customization.peft
    if peft is None or peft.config is None:
        return {}
    insists = customization.method in {"peft", "adapter"}
    return {} if peft.use is False and not insists else peft.config


def peft_type(customization: Customization) -> str:
    """The PEFT type in upper case; LORA unless `peft.config.peft_type` says otherwise."""
    named = peft_config(customization).get("peft_type")
    return named.upper() if isinstance(named, str) else "LORA"


def spellings(customization: Customization) -> Iterator[Spelling]:
    """Every place where an adapter field is given; the first that applies is the one that counts."""
    nested, config = customization.lora, peft_config(customization)
    is_lora = peft_type(customization) == "LORA"
    for field in _FIELDS:
        applies = is_lora or not field.lora_only
        places = [(f"$.customization.{field.flat}", getattr(customization, field.flat))]
        if nested is not None:
            places.append((f"$.customization.lora.{field.nested}", getattr(nested, field.nested)))
        for path, value in places:
            if not _absent(value):
                yield Spelling(field=field.plan, path=path, value=value, applies=applies)
        value = config.get(field.config)
        if applies and value is not None:
            path = f"$.customization.peft.config.{field.config}"
            fits = _fits(value, field.kind)
            yield Spelling(field=field.plan, path=path, value=value, fits=fits)


def adapter_plan(customization: Customization) -> AdapterPlan:
    """The adapter of a reviewed job. `options` holds what AdapterPlan has no field for."""
    kind = peft_type(customization)
    fields: dict[str, Any] = {}
    for spelling in spellings(customization):
        if spelling.applies:
            fields.setdefault(spelling.field, spelling.value)
    named = {field.config for field in _FIELDS if kind == "LORA" or not field.lora_only}
    config = peft_config(customization)
    options = {key: config[key] for key in config if key not in {*named, "peft_type"}}
    if isinstance(fields.get("target_modules"), str):  # a pattern, or all-linear: PEFT's own words
        options["target_modules"] = fields.pop("target_modules")
    return AdapterPlan(peft_type=kind, options=options, **fields)


def _absent(value: object) -> bool:
    """An empty list of modules is what a form sends when nothing was chosen."""
    return value is None or value == []


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
