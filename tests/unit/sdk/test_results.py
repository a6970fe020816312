"""Options for what becomes of the result: checked, resolved, and their secrets kept apart."""

from typing import Any

import msgspec
import pytest

from tunegate.contract.secret import decode_hook
from tunegate.contract.training import HubPlan, TrackerPlan
from tunegate.sdk.redact import redacted_request
from tunegate.sdk.resolve import (
    TrainerOptions,
    TrainingMethod,
    resolve_training,
    trainer_secrets,
)
from tunegate.sdk.review import review_training
from tunegate.sdk.testing.samples import CANARY, minimal_body, sample_context, train_request

SERVER = "https://tracking.example.org"
EXTRA: dict[str, Any] = {
    "merge_adapter": True,
    "push_to_hub": {"repo_id": "team/model", "token": CANARY},
    "trackers": [
        {"kind": "mlflow", "tracking_uri": SERVER, "experiment": "colours", "api_key": CANARY},
        {"kind": "trackio"},
    ],
}


def options_of(extra: dict[str, Any]) -> TrainerOptions:
    return msgspec.convert(extra, TrainerOptions, dec_hook=decode_hook)


def found(extra: dict[str, Any], method: TrainingMethod = "lora") -> set[tuple[str, str]]:
    job = train_request(minimal_body(method) | {"extra_parameters": extra})
    review = review_training(job, options_of(extra), method=method, providers=frozenset({"huggingface"}))  # fmt: skip
    return {(p.path, p.code) for p in review.problems} | {(i.path, "ignored") for i in review.ignored}  # fmt: skip


def test_plans_without_secrets_and_secrets_without_plans() -> None:
    job = train_request(minimal_body("lora") | {"extra_parameters": EXTRA})
    spec = resolve_training(job, options_of(EXTRA), sample_context(job), method="lora", backend="b")
    assert spec.output.merge_adapter
    assert spec.output.push_to_hub == HubPlan(repo_id="team/model")
    assert spec.output.trackers == [
        TrackerPlan(kind="mlflow", tracking_uri=SERVER, experiment="colours"),
        TrackerPlan(kind="trackio"),
    ]
    assert CANARY.encode() not in msgspec.json.encode(spec)
    assert CANARY.encode() not in redacted_request(job)
    secrets = trainer_secrets(job)
    assert secrets.push_token is not None
    assert secrets.push_token.reveal() == CANARY
    assert [key and key.reveal() for key in secrets.tracker_keys] == [CANARY, None]


@pytest.mark.parametrize("extra", [{"trackers": 3}, {"trackers": [3]}, {"push_to_hub": "x"}, {}])
def test_what_another_backend_calls_the_same_is_no_secret(extra: dict[str, Any]) -> None:
    secrets = trainer_secrets(train_request(minimal_body("lora") | {"extra_parameters": extra}))
    assert secrets.push_token is None
    assert not any(secrets.tracker_keys)


TRACKER = "$.extra_parameters.trackers[0]"


@pytest.mark.parametrize(
    ("tracker", "path", "code"),
    [
        ({"kind": "mlflow"}, "tracking_uri", "missing_field"),
        ({"kind": "mlflow", "tracking_uri": "databricks://x"}, "tracking_uri", "not_supported"),
        ({"kind": "wandb", "tracking_uri": "file:///x"}, "tracking_uri", "not_supported"),
        (
            {"kind": "wandb", "tracking_uri": f"https://me:{CANARY}@host/"},
            "tracking_uri",
            "credentials_in_address",
        ),
        (
            {"kind": "mlflow", "tracking_uri": f"{SERVER}/?key={CANARY}"},
            "tracking_uri",
            "credentials_in_address",
        ),
        ({"kind": "trackio", "entity": "team"}, "entity", "ignored"),
    ],
)
def test_trackers_that_can_not_be(tracker: dict[str, Any], path: str, code: str) -> None:
    assert found({"trackers": [tracker]}) == {(f"{TRACKER}.{path}", code)}


def test_trackers_that_can_be() -> None:
    assert found(EXTRA) == set()
    assert found({"merge_adapter": True}, "full") == {("$.extra_parameters.merge_adapter", "ignored")}  # fmt: skip


@pytest.mark.parametrize("name", ["team", "team/a/b", "/x", "team/..\n", "-/x", "team/x "])
def test_no_hub_id(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        options_of({"push_to_hub": {"repo_id": name}})
