"""Every rule of admission, and that all problems come at once."""

from pathlib import Path
from typing import Any

import pytest

from support.front import PlainBackend, QueueLauncher, StillClock, TrainingBackend, body, request
from tunegate.contract.training import StoragePolicy
from tunegate.control.admission import Admission, AdmissionRules, admit
from tunegate.control.principal import Principal
from tunegate.control.settings import TrainerSettings
from tunegate.sdk.launcher import LauncherContext

LAUNCHER = QueueLauncher(None, LauncherContext(state_dir="/nowhere", clock=StillClock()))
SECRET = "s3cr3t-value"


def admitted(fields: dict[str, Any] | None = None, **rules: Any) -> Admission:
    given = {
        "principal": Principal(name="acme"),
        "trainer": TrainerSettings(),
        "storage": StoragePolicy(file_roots=["/data"], allow_ambient_credentials=True),
        "check_url": lambda url: (
            "Private addresses are not allowed." if "10.0.0.1" in url else None
        ),
    } | rules
    return admit(request(**(fields or {})), TrainingBackend(), LAUNCHER, AdmissionRules(**given))


def found(admission: Admission) -> set[tuple[str, str]]:
    return {(problem.path, problem.code) for problem in admission.problems}


def source(uri: str, **more: Any) -> dict[str, Any]:
    return {"datasets": [{"source": uri, "format": "auto", **more}]}


def output(uri: str, **more: Any) -> dict[str, Any]:
    return {"artifacts": {"output_uri": uri, **more}}


def model(**fields: Any) -> dict[str, Any]:
    return {"base_model": body()["base_model"] | fields}


def test_a_good_job_has_a_container_in_its_own_folder() -> None:
    admission = admitted(output("s3://bucket/results", log_uri="s3://bucket/logs/job-1/"))
    assert admission.problems == []
    assert admission.output_uri == "s3://bucket/results/job-1/"
    assert admission.log_uri == "s3://bucket/logs/job-1/"
    assert admission.notes == ["reviewed"]
    assert admission.container is not None
    assert admission.container.labels["tunegate.tenant"] == "acme"


@pytest.mark.parametrize(
    ("auth", "folder", "lends", "is_told"),
    [
        (None, "s3://bucket/results", False, True),
        ({"role_arn": "arn:aws:iam::123456789012:role/x"}, "s3://bucket/results", False, True),
        ({"aws_access_key_id": "A", "aws_secret_access_key": "b"}, "s3://bucket/results", False, False),
        (None, "s3://bucket/results", True, False),
        (None, "/data/results", False, False),
    ],
)  # fmt: skip
def test_results_that_nobody_may_read_are_told_of(
    auth: dict[str, str] | None, folder: str, lends: bool, is_told: bool
) -> None:
    storage = StoragePolicy(file_roots=["/data"], allow_ambient_credentials=lends)
    admission = admitted(output(folder, **({"auth": auth} if auth else {})), storage=storage)
    assert admission.problems == []
    assert any("not be able to read the results" in note for note in admission.notes) is is_told


D, O, W = "$.datasets[0].source", "$.artifacts.output_uri", "$.base_model.weights_url"  # noqa: E741


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        (source("ftp://h/x"), D, "not_supported"),
        (source("http://h/x"), D, "not_supported"),
        (source("data.jsonl"), D, "invalid_format"),
        (source("s3:///key"), D, "invalid_format"),
        (source("https:///x"), D, "invalid_format"),
        (source("https://[::1/x"), D, "invalid_format"),
        (source("https://h:99999999/x"), D, "invalid_format"),
        (source("s3://b/a\nb"), D, "invalid_format"),
        (source("s3://b/a/../c"), D, "invalid_format"),
        (source("https://h/a/%2e%2e/c"), D, "invalid_format"),
        (source("https://h/a/%252e%252e%252fc"), D, "invalid_format"),
        (source("https://h/a/..%09%2fc"), D, "invalid_format"),
        (source("s3://b/a/..%00/c"), D, "invalid_format"),
        (source("s3://b/a/\uff0e\uff0e\uff0fc"), D, "invalid_format"),
        (source(f"https://me:{SECRET}@h/x"), D, "credentials_in_address"),
        (source("https://10.0.0.1/x"), D, "not_allowed"),
        (source("/etc/passwd"), D, "not_allowed"),
        (source("/data/../etc/passwd"), D, "invalid_format"),
        (source("file:///database/x"), D, "not_allowed"),
        (source("file://elsewhere/data/x"), D, "not_supported"),
        (source("~/x"), D, "invalid_format"),
        (output("https://h/x"), O, "not_supported"),
        (output("/srv/x"), O, "not_allowed"),
        (output("s3://b/x", log_uri="http://h/x"), "$.artifacts.log_uri", "not_supported"),
        (output("s3://b/x", status_stream_url="s3://b/x"), "$.artifacts.status_stream_url", "not_supported"),
        (output("s3://b/x", status_stream_url="wss://10.0.0.1/x"), "$.artifacts.status_stream_url", "not_allowed"),
        (output("s3://b/x", status_stream_url="host/x"), "$.artifacts.status_stream_url", "invalid_format"),
        ({"callbacks": {"webhook_url": "wss://h/x"}}, "$.callbacks.webhook_url", "not_supported"),
        ({"callbacks": {"webhook_url": "http://10.0.0.1/x"}}, "$.callbacks.webhook_url", "not_allowed"),
        ({"callbacks": {"webhook_url": f"https://u:{SECRET}@h/"}}, "$.callbacks.webhook_url", "credentials_in_address"),
        (model(weights_url="ftp://h/x"), W, "not_supported"),
        (model(weights_url="/etc/model"), W, "not_allowed"),
        (model(provider="custom", model_name="some/hub"), "$.base_model.model_name", "invalid_format"),
        (model(model_name="https://h/x"), "$.base_model.model_name", "not_supported"),
    ],
)  # fmt: skip
def test_addresses(fields: dict[str, Any], path: str, code: str) -> None:
    admission = admitted(fields)
    assert found(admission) == {(path, code)}
    assert SECRET not in str(admission.problems)
    assert admission.container is None


@pytest.mark.parametrize(
    "fields",
    [
        source("file:///data/x.jsonl"),
        source("//data//x.jsonl"),
        source("s3://b/my data/1764106730023-tx.jsonl"),
        source("https://h/x.jsonl?X-Amz-Signature=abc/../def"),
        source("org/data", format="hf"),
        output("file:///data/out"),
        output("s3://b/x", status_stream_url="ws://h/x"),
        model(model_name="s3://b/model", provider="custom"),
        {"callbacks": {"webhook_url": "http://h/hook?token=x"}},
    ],
)
def test_addresses_that_are_fine(fields: dict[str, Any]) -> None:
    assert admitted(fields).problems == []


def test_file_roots_may_be_written_relative_to_the_working_folder() -> None:
    storage = StoragePolicy(file_roots=["./data"])
    assert admitted(source(str(Path("data/x.jsonl").absolute())), storage=storage).problems == []
    assert found(admitted(source("/data/x.jsonl"), storage=storage)) == {(D, "not_allowed")}


def test_a_prefix_that_names_no_place_allows_nothing() -> None:
    principal = Principal(name="acme", uri_prefixes=["s3://bucket/../", "https://[::1"])
    assert (D, "not_allowed") in found(admitted(principal=principal))


def test_plain_http_sources_are_the_operators_choice() -> None:
    assert admitted(source("http://h/x"), storage=StoragePolicy(allow_http=True)).problems == []


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("s3://bucket/users/a/x.jsonl", True),
        ("S3://bucket/users/a/x.jsonl", True),
        ("s3://bucket/users//a/x.jsonl", False),
        ("s3://bucket/users/ab/x.jsonl", False),
        ("s3://bucket/users", False),
        ("s3://bucket.evil/users/a/x", False),
        ("https://host:443/pub/x", True),
        ("https://HOST/pub/x", True),
        ("https://host:444/pub/x", False),
        ("https://host.evil/pub/x", False),
    ],
)
def test_prefixes_of_the_token(uri: str, allowed: bool) -> None:
    principal = Principal(
        name="acme",
        uri_prefixes=["s3://bucket/users/a/", "https://host/pub", "s3://bucket/results"],
    )
    problems = found(admitted(source(uri), principal=principal))
    assert problems == (set() if allowed else {(D, "not_allowed")})


def test_prefixes_bind_every_address_that_stores() -> None:
    principal = Principal(name="acme", uri_prefixes=["s3://mine/"])
    fields = (
        output("s3://x/o", log_uri="s3://x/l", status_stream_url="https://h/s")
        | model(weights_url="s3://x/w")
        | {"callbacks": {"webhook_url": "https://h/w"}}
    )
    paths = {path for path, _ in found(admitted(fields, principal=principal))}
    assert paths == {O, "$.artifacts.log_uri", W, D}


A = "$.datasets[0].auth"


@pytest.mark.parametrize(
    ("auth", "uri", "path", "code"),
    [
        ({"aws_access_key_id": SECRET}, "s3://b/x", f"{A}.aws_secret_access_key", "missing_field"),
        ({"aws_session_token": SECRET, "aws_secret_access_key": "x"}, "s3://b/x", f"{A}.aws_access_key_id", "missing_field"),
        ({"external_id": SECRET}, "s3://b/x", f"{A}.role_arn", "missing_field"),
        ({"username": SECRET}, "https://h/x", f"{A}.password", "missing_field"),
        ({"token": SECRET, "username": "u", "password": "p"}, "https://h/x", A, "conflicting_fields"),
        ({"token": SECRET}, "s3://b/x", A, "not_supported"),
        ({"role_arn": "arn:aws:iam::123:role/FineTune"}, "https://h/x", A, "not_supported"),
        ({"token": "a\r\nb"}, "https://h/x", f"{A}.token", "invalid_format"),
    ],
)  # fmt: skip
def test_credentials(auth: dict[str, Any], uri: str, path: str, code: str) -> None:
    admission = admitted(source(uri, auth=auth))
    assert found(admission) == {(path, code)}
    assert SECRET not in str(admission.problems)


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"aws_region": "eu-west-1"},
        {"role_arn": "arn:aws:iam::123:role/FineTune", "external_id": "x"},
        {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_session_token": "c"},
    ],
)
def test_credentials_that_are_fine(auth: dict[str, Any]) -> None:
    assert admitted(output("s3://b/x", auth=auth)).problems == []


@pytest.mark.parametrize("value", ["Bearer a\r\nX-Evil: 1", "Bearer \u2603"])
def test_a_header_that_can_not_be_sent(value: str) -> None:
    callbacks = {"webhook_url": "https://h/x", "auth_header": value}
    assert found(admitted({"callbacks": callbacks})) == {
        ("$.callbacks.auth_header", "invalid_format")
    }


def test_credentials_without_use_are_ignored() -> None:
    fields = source("/data/x", auth={"token": "x"}) | {"callbacks": {"auth_header": "x"}}
    admission = admitted(fields)
    assert admission.problems == []
    assert {entry.path for entry in admission.ignored} == {A, "$.callbacks.auth_header"}


class TestExtraParameters:
    def test_each_key_goes_to_whoever_takes_it(self) -> None:
        extra = {"queue": "fast", "container_image": "mine", "launcher": "queue", "priority": None}
        admission = admitted({"extra_parameters": extra})
        assert admission.problems == []
        assert admission.launcher_options == {"queue": "fast"}
        assert admission.container is not None
        assert admission.container.image == "mine"

    def test_all_that_is_wrong_is_told(self) -> None:
        extra = {"priority": "high", "queu": "x", "container_image": 3, "odd key": 1}
        admission = admitted({"extra_parameters": extra})
        assert found(admission) == {
            ("$.extra_parameters.priority", "wrong_type"),
            ("$.extra_parameters.container_image", "wrong_type"),
            ("$.extra_parameters.queu", "unknown_field"),
            ('$.extra_parameters["odd key"]', "unknown_field"),
        }
        messages = {problem.path: problem.message for problem in admission.problems}
        assert "did you mean `queue`?" in messages["$.extra_parameters.queu"]

    def test_ancestors_are_ignored(self) -> None:
        extra = {"executor": "k8s", "unsloth": {"gradient_accumulation": 4, "fast": True}}
        admission = admitted({"extra_parameters": extra})
        assert admission.problems == []
        assert [entry.path for entry in admission.ignored] == [
            "$.extra_parameters.executor",
            "$.extra_parameters.unsloth.fast",
        ]

    def test_a_launcher_that_is_missing_does_not_hide_its_keys(self) -> None:
        rules = AdmissionRules(
            principal=Principal(name="acme"),
            trainer=TrainerSettings(),
            storage=StoragePolicy(),
            check_url=lambda _: None,
        )
        wanted = request(extra_parameters={"launcher": "gone", "queue": "x"})
        assert admit(wanted, TrainingBackend(), None, rules).problems == []


def test_the_plugins_are_asked() -> None:
    assert found(admitted({"customization": {"method": "lora", "rank": 13}})) == {
        ("$.customization.rank", "not_supported")
    }
    assert found(admitted({"resources": {"gpus": 9}})) == {
        ("$.resources.gpus", "insufficient_resources")
    }


def test_problems_of_all_kinds_come_at_once() -> None:
    fields = (
        source("ftp://h/x", auth={"aws_access_key_id": "x"})
        | output("https://h/x")
        | {"customization": {"method": "lora", "rank": 13}, "extra_parameters": {"priority": "x"}}
    )
    assert len(admitted(fields).problems) == 5


class TestLimitsOfTheToken:
    def test_backends(self) -> None:
        principal = Principal(name="acme", backends=["plain"])
        assert found(admitted(principal=principal)) == {("$.backend", "not_allowed")}

    @pytest.mark.parametrize(("asked", "allowed"), [(0, True), (4, True), (5, False)])
    def test_gpus(self, asked: int, allowed: bool) -> None:
        principal = Principal(name="acme", max_gpus=4)
        problems = found(admitted({"resources": {"gpus": asked}}, principal=principal))
        assert problems == (set() if allowed else {("$.resources.gpus", "not_allowed")})

    def test_nodes_count(self) -> None:
        fields = {"resources": {"gpus": 2, "nodes": 3}}
        principal = Principal(name="acme", max_gpus=4)
        assert found(admitted(fields, principal=principal)) == {("$.resources.gpus", "not_allowed")}


def test_the_backend_of_others_is_not_asked_about_training_files() -> None:
    rules = AdmissionRules(
        principal=Principal(name="acme"),
        trainer=TrainerSettings(),
        storage=StoragePolicy(),
        check_url=lambda _: None,
    )
    admission = admit(request(customization={"method": "full"}), PlainBackend(), LAUNCHER, rules)
    assert admission.container is not None
    assert admission.container.files == []
