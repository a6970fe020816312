"""Hypothesis strategies for everything that the request's schema allows, sensible or not."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from tunegate.contract.request import TrainRequest
from tunegate.sdk.testing.samples import CANARY, train_request

Values = st.SearchStrategy[Any]

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_JSON: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_LIKELY: dict[str, tuple[Any, ...]] = {
    "model_name": ("acme/small", "/data/model", "s3://models/a", "x.nemo", "file://"),
    "weights_url": ("https://w.example/a?b=c", "s3://w/a.nemo", "://", "https://"),
    "source": ("s3://data/a", "https://d.example/a?b", "acme/rows", "/data/a.csv", "../a"),
    "output_uri": ("s3://out", "s3://out/job", "file:///data/out", "/data/out"),
    "log_uri": ("s3://logs/", "/data/logs"),
    "split": ("train", "validation", "test"),
    "trainable_layers": (["decoder.layers.0"], ["layers.x"], ["model.layers.99999999999"], []),
    "target_modules": (["q_proj"], []),
    "config": (
        {"task_type": "CAUSAL_LM"}, {"peft_type": "IA3"}, {"peft_type": 3}, {"r": "x"},
        {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}, {"lora_dropout": []},
    ),
    "extra_parameters": (
        {"unsloth": {"gradient_accumulation": 4}}, {"unsloth": {"gradient_accumulation": "x"}},
        {"unsloth": 1, "executor": "ray"},
    ),
}  # fmt: skip
_PATTERNED = {
    "job_id": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True),
    "role_arn": st.just("arn:aws:iam::123:role/FineTune"),
    "aws_region": st.just("eu-west-1"),
}


def requests(methods: Iterable[str]) -> "st.SearchStrategy[TrainRequest]":
    """Any request that the schema allows for one of `methods`; canaries stand for all secrets."""
    wanted = st.sampled_from(sorted(methods))
    bodies = _struct(TrainRequest)
    return st.builds(_with_method, bodies, wanted).map(train_request)


def _with_method(body: dict[str, Any], method: str) -> dict[str, Any]:
    return {**body, "customization": {**body["customization"], "method": method}}


def _struct(struct: type[msgspec.Struct]) -> Values:
    fields = msgspec.structs.fields(struct)
    hints = {field.name: inspect.type_info(field.type) for field in fields}
    required = {f.name: _field(f.name, hints[f.name]) for f in fields if f.required}
    optional = {f.name: _field(f.name, hints[f.name]) for f in fields if not f.required}
    return st.fixed_dictionaries(required, optional=optional)


def _field(name: str, kind: inspect.Type) -> Values:
    if name in _PATTERNED:
        return _PATTERNED[name] | (st.none() if _is_optional(kind) else st.nothing())
    likely = st.sampled_from(_LIKELY[name]) if name in _LIKELY else st.nothing()
    return likely | _values(kind)


def _is_optional(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and kind.includes_none


def _values(kind: inspect.Type) -> Values:
    return _MAKERS[type(kind)](kind)


def _integers(kind: Any) -> Values:
    low = kind.ge if kind.ge is not None else -(2**31)
    high = kind.le if kind.le is not None else 2**31
    return st.integers(low, min(high, low + 64)) | st.integers(low, high)


def _floats(kind: Any) -> Values:
    low = kind.ge if kind.ge is not None else (kind.gt if kind.gt is not None else -1e9)
    high = kind.le if kind.le is not None else 1e9
    return st.floats(low, high, exclude_min=kind.gt is not None)


def _strings(kind: Any) -> Values:
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(alphabet, min_size=kind.min_length or 0, max_size=20)


def _lists(kind: Any) -> Values:
    size = kind.min_length or 0
    return st.lists(_values(kind.item_type), min_size=size, max_size=size + 2)


def _dicts(kind: Any) -> Values:
    if isinstance(kind.value_type, inspect.AnyType):
        return st.dictionaries(_TEXT, _JSON, max_size=4)
    return st.dictionaries(_values(kind.key_type), _values(kind.value_type), max_size=3)


_MAKERS: dict[type[Any], Callable[[Any], Values]] = {
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: _integers,
    inspect.FloatType: _floats,
    inspect.StrType: _strings,
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.CustomType: lambda _: st.just(CANARY),
    inspect.ListType: _lists,
    inspect.DictType: _dicts,
    inspect.AnyType: lambda _: _JSON,
    inspect.UnionType: lambda kind: st.one_of([_values(item) for item in kind.types]),
    inspect.StructType: lambda kind: _struct(kind.cls),
    inspect.Metadata: lambda kind: _values(kind.type),
}
