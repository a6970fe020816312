import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunegate.contract.attempt import EventBatch
from tunegate.contract.base import Strict
from tunegate.contract.decode import collect, decode, decode_request
from tunegate.contract.guard import RequestError
from tunegate.contract.problems import Problem
from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import decode_hook

ROOT = Path(__file__).parents[3]
CANONICAL = (ROOT / "config/jobs/canonical.json").read_bytes()
Change = Callable[[dict[str, Any]], object]


def problems_of(body: Any) -> list[Problem]:
    with pytest.raises(RequestError) as caught:
        decode_request(json.dumps(body).encode())
    assert caught.value.code == "invalid_request"
    return list(caught.value.problems)


def changed(change: Change) -> dict[str, Any]:
    body = json.loads(CANONICAL)
    change(body)
    return body


@pytest.mark.parametrize("name", ["canonical", "lora", "qlora", "full"])
def test_examples_are_accepted_byte_for_byte(name: str) -> None:
    decode_request((ROOT / f"config/jobs/{name}.json").read_bytes())


def test_nulls_mean_not_given() -> None:
    body = json.loads(CANONICAL)
    for section in ("resources", "tuning_parameters", "callbacks", "extra_parameters", "metadata"):
        body[section] = None
    body["customization"] = dict.fromkeys(body["customization"]) | {"method": "full"}
    request = decode_request(json.dumps(body).encode())
    assert request.resources is None
    assert request.customization.rank is None


BAD: list[tuple[str, Change, str, str]] = [
    ("job_id missing", lambda b: b.pop("job_id"), "$.job_id", "missing_field"),
    ("job_id null", lambda b: b.update(job_id=None), "$.job_id", "wrong_type"),
    ("job_id empty", lambda b: b.update(job_id=""), "$.job_id", "invalid_length"),
    ("job_id long", lambda b: b.update(job_id="a" * 129), "$.job_id", "invalid_length"),
    ("job_id path", lambda b: b.update(job_id="../etc"), "$.job_id", "invalid_format"),
    ("job_id newline", lambda b: b.update(job_id="a\n"), "$.job_id", "invalid_format"),
    ("job_id number", lambda b: b.update(job_id=7), "$.job_id", "wrong_type"),
    ("unknown field", lambda b: b.update(datasetz=[]), "$.datasetz", "unknown_field"),
    ("no model", lambda b: b.pop("base_model"), "$.base_model", "missing_field"),
    ("model a string", lambda b: b.update(base_model="x"), "$.base_model", "wrong_type"),
    ("provider", lambda b: b["base_model"].update(provider="hf"), "$.base_model.provider", "invalid_choice"),
    ("provider null", lambda b: b["base_model"].update(provider=None), "$.base_model.provider", "wrong_type"),
    ("model_name", lambda b: b["base_model"].pop("model_name"), "$.base_model.model_name", "missing_field"),
    ("model_name empty", lambda b: b["base_model"].update(model_name=""), "$.base_model.model_name", "invalid_length"),
    ("token a number", lambda b: b["base_model"].update(auth_token=5), "$.base_model.auth_token", "wrong_type"),
    ("method", lambda b: b["customization"].update(method="dora"), "$.customization.method", "invalid_choice"),
    ("method case", lambda b: b["customization"].update(method="LORA"), "$.customization.method", "invalid_choice"),
    ("rank 0", lambda b: b["customization"].update(rank=0), "$.customization.rank", "out_of_range"),
    ("rank string", lambda b: b["customization"].update(rank="16"), "$.customization.rank", "wrong_type"),
    ("rank float", lambda b: b["customization"].update(rank=16.0), "$.customization.rank", "wrong_type"),
    ("rank bool", lambda b: b["customization"].update(rank=True), "$.customization.rank", "wrong_type"),
    ("rank huge", lambda b: b["customization"].update(rank=2**40), "$.customization.rank", "out_of_range"),
    ("modules", lambda b: b["customization"].update(target_modules="q"), "$.customization.target_modules", "wrong_type"),
    ("module", lambda b: b["customization"].update(target_modules=["q", 1]), "$.customization.target_modules[1]", "wrong_type"),
    ("alpha", lambda b: b["customization"].update(lora_alpha=-1), "$.customization.lora_alpha", "out_of_range"),
    ("dropout", lambda b: b["customization"].update(lora_dropout=1.5), "$.customization.lora_dropout", "out_of_range"),
    ("layers", lambda b: b["customization"].update(trainable_layers=[""]), "$.customization.trainable_layers[0]", "invalid_length"),
    ("precision", lambda b: b["customization"].update(precision="fp8"), "$.customization.precision", "invalid_choice"),
    ("compute dtype", lambda b: b["customization"]["qlora"].update(bnb_4bit_compute_dtype="bf16"), "$.customization.qlora.bnb_4bit_compute_dtype", "invalid_choice"),
    ("quant field", lambda b: b["customization"]["qlora"].update(use_double_quan=True), "$.customization.qlora.use_double_quan", "unknown_field"),
    ("peft config", lambda b: b["customization"]["peft"].update(config=[]), "$.customization.peft.config", "wrong_type"),
    ("gpus", lambda b: b["resources"].update(gpus=-1), "$.resources.gpus", "out_of_range"),
    ("cpus", lambda b: b["resources"].update(cpus=0), "$.resources.cpus", "out_of_range"),
    ("memory", lambda b: b["resources"].update(memory_gb="128"), "$.resources.memory_gb", "wrong_type"),
    ("no datasets", lambda b: b.update(datasets=[]), "$.datasets", "invalid_length"),
    ("datasets object", lambda b: b.update(datasets={}), "$.datasets", "wrong_type"),
    ("format", lambda b: b["datasets"][0].update(format="xls"), "$.datasets[0].format", "invalid_choice"),
    ("no format", lambda b: b["datasets"][0].pop("format"), "$.datasets[0].format", "missing_field"),
    ("source long", lambda b: b["datasets"][0].update(source="s" * 3000), "$.datasets[0].source", "invalid_length"),
    ("weight", lambda b: b["datasets"][0].update(weight=0), "$.datasets[0].weight", "out_of_range"),
    ("role", lambda b: b["datasets"][0]["auth"].update(role_arn="x" * 30), "$.datasets[0].auth.role_arn", "invalid_format"),
    ("auth field", lambda b: b["datasets"][0]["auth"].update(secret="x"), "$.datasets[0].auth.secret", "unknown_field"),
    ("no output", lambda b: b["artifacts"].pop("output_uri"), "$.artifacts.output_uri", "missing_field"),
    ("learning rate", lambda b: b["tuning_parameters"].update(learning_rate=0), "$.tuning_parameters.learning_rate", "out_of_range"),
    ("warmup", lambda b: b["tuning_parameters"].update(warmup_ratio=2), "$.tuning_parameters.warmup_ratio", "out_of_range"),
    ("scheduler", lambda b: b["tuning_parameters"].update(lr_scheduler="cos"), "$.tuning_parameters.lr_scheduler", "invalid_choice"),
    ("seed", lambda b: b["tuning_parameters"].update(seed=-1), "$.tuning_parameters.seed", "out_of_range"),
    ("train_on", lambda b: b["tuning_parameters"].update(train_on="prompt"), "$.tuning_parameters.train_on", "invalid_choice"),
    ("event filter", lambda b: b["callbacks"].update(event_filter=["done"]), "$.callbacks.event_filter[0]", "invalid_choice"),
    ("interval", lambda b: b["callbacks"].update(interval_seconds=0), "$.callbacks.interval_seconds", "out_of_range"),
    ("metadata value", lambda b: b.update(metadata={"a": 1}), "$.metadata.a", "wrong_type"),
    ("metadata key", lambda b: b.update(metadata={"": "x"}), '$.metadata[""]', "invalid_length"),
    ("metadata size", lambda b: b.update(metadata={str(n): "" for n in range(17)}), "$.metadata", "invalid_length"),
    ("extra list", lambda b: b.update(extra_parameters=[1]), "$.extra_parameters", "wrong_type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "path", "code"), [row[1:] for row in BAD], ids=[r[0] for r in BAD]
)
def test_each_bad_body_names_its_field(change: Change, path: str, code: str) -> None:
    (problem,) = problems_of(changed(change))
    assert (problem.path, problem.code) == (path, code)


def test_all_problems_are_reported_at_once() -> None:
    body: dict[str, Any] = json.loads(CANONICAL)
    body["base_model"]["provider"] = "hf"
    body["customization"].update(rank="16", lora_alfa=3)
    body["datasets"].append({"source": "", "format": "xls"})
    body["tuning_parameters"].update(learning_rate=0, warmup_ratio=2)
    del body["artifacts"]
    assert [(p.path, p.code) for p in problems_of(body)] == [
        ("$.base_model.provider", "invalid_choice"),
        ("$.customization.rank", "wrong_type"),
        ("$.customization.lora_alfa", "unknown_field"),
        ("$.datasets[1].source", "invalid_length"),
        ("$.datasets[1].format", "invalid_choice"),
        ("$.artifacts", "missing_field"),
        ("$.tuning_parameters.learning_rate", "out_of_range"),
        ("$.tuning_parameters.warmup_ratio", "out_of_range"),
    ]


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object(body: Any) -> None:
    (problem,) = problems_of(body)
    assert (problem.path, problem.code) == ("$", "wrong_type")


def test_did_you_mean() -> None:
    (problem,) = problems_of(changed(lambda b: b["customization"].update(lora_alfa=1)))
    assert "did you mean `lora_alpha`?" in problem.message
    (problem,) = problems_of(changed(lambda b: b.update(zzzzzz=1)))
    assert "did you mean" not in problem.message


def test_choices_and_limits_are_named() -> None:
    (problem,) = problems_of(changed(lambda b: b["datasets"][0].update(format="xls")))
    assert problem.message == "must be one of auto, csv, hf, jsonl, parquet"
    (problem,) = problems_of(changed(lambda b: b["customization"].update(lora_dropout=2)))
    assert problem.message == "must be at least 0 and at most 1"
    (problem,) = problems_of(changed(lambda b: b.update(job_id=".")))
    assert "a letter or digit first" in problem.message


def test_at_most_a_hundred_problems() -> None:
    assert len(problems_of(changed(lambda b: b.update({f"x{n}": n for n in range(5000)})))) == 100


def test_tagged_unions() -> None:
    event = {"sequence": 1, "at_ms": 0, "event": {"kind": "note", "text": 5}}
    batch: dict[str, Any] = {"run_uid": "run-12345", "events": [event]}
    for change, path, code in [
        ({}, "$.events[0].event.text", "wrong_type"),
        ({"kind": "nope"}, "$.events[0].event.kind", "invalid_choice"),
    ]:
        sent = copy.deepcopy(batch)
        sent["events"][0]["event"].update(change)
        with pytest.raises(RequestError) as caught:
            decode(EventBatch, json.dumps(sent).encode())
        assert [(p.path, p.code) for p in caught.value.problems] == [(path, code)]
    del batch["events"][0]["event"]["kind"]
    with pytest.raises(RequestError) as caught:
        decode(EventBatch, json.dumps(batch).encode())
    assert caught.value.problems[0].code == "missing_field"


class Checked(Strict):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"{self.low} is more than {self.high}")


def test_a_types_own_objection_is_a_problem_without_the_value() -> None:
    value, (problem,) = collect(Checked, {"low": 31337, "high": 1}, "$.x")
    assert value is None
    assert problem.path == "$.x"
    assert "31337" not in problem.message


CANARY = "c4n4ry-of-this-test"
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(CANARY),
    st.sampled_from(["lora", "auto", "bf16", "", "x" * 3000]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        for key, member in value.items():
            found += [(value, key), *places(member)]
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += [(value, index), *places(member)]
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutations_are_accepted_or_refused_and_never_echoed(data: st.DataObject) -> None:
    body = json.loads(CANONICAL)
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(places(body)))
        if data.draw(st.booleans()):
            container[key] = data.draw(VALUES)
        elif isinstance(container, dict):
            container.pop(key)
        if not places(body):
            break
    raw = json.dumps(body).encode()
    request, refusal = attempt(raw)
    if refusal is None:
        assert request == msgspec.json.decode(raw, type=TrainRequest, dec_hook=decode_hook)
    else:
        assert CANARY not in f"{refusal} {[p.message for p in refusal.problems]}"
        assert refusal.problems or refusal.code != "invalid_request"


def attempt(raw: bytes) -> tuple[TrainRequest | None, RequestError | None]:
    try:
        return decode_request(raw), None
    except RequestError as error:
        return None, error
