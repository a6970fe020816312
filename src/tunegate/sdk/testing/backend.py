"""`BackendConformance`: what every backend plugin must do. Subclass it and say which backend is meant.

class TestMine(BackendConformance):
    @pytest.fixture
    def backend(self):
        return MyBackend()
"""

import os
import re
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import Method, Provider, TrainRequest
from tunegate.contract.secret import redact_hook
from tunegate.sdk.backend import AnyBackend, Review
from tunegate.sdk.errors import CATALOGUE
from tunegate.sdk.testing import samples
from tunegate.sdk.testing.purity import forbid_effects
from tunegate.sdk.testing.strategies import requests
from tunegate.sdk.versions import version_problem

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "litestar", "boto3", "aiohttp")
SPOILS: tuple[tuple[str, Any], ...] = (
    ("base_model.model_name", "/data/model.nemo"),
    ("customization.precision", "int8"),
    ("customization.trainable_layers", ["nonsense"]),
    ("customization.peft.config", {"r": "x"}),
    ("tuning_parameters.micro_batch_size", 10**6),
)
"""Fields that a backend may find fault with, each by itself."""
_CHECKS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking a whole request takes minutes
    suppress_health_check=[
        HealthCheck.differing_executors,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)


class BackendConformance:
    """The suite. Every rule stands alone."""

    @pytest.fixture
    def backend(self) -> AnyBackend:
        raise LookupError("the subclass has to give a fixture `backend`")

    def test_says_who_it_is(self, backend: AnyBackend) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", backend.name), "name: a-z, 0-9, hyphens"
        assert version_problem(backend.api_version) is None, version_problem(backend.api_version)
        assert backend.description, "description is what GET /backends shows"
        assert backend.methods, "serves no method"
        assert backend.methods <= set(get_args(Method))
        assert backend.default_for <= backend.methods
        assert backend.providers, "serves no provider"
        assert backend.providers <= set(get_args(Provider))

    def test_loads_without_heavy_libraries(self, backend: AnyBackend) -> None:
        code = (
            f"import sys, {type(backend).__module__}; "
            f"print([name for name in {HEAVY!r} if name in sys.modules])"
        )
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        argv = [sys.executable, "-c", code]
        seen = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)  # noqa: S603
        assert seen.stdout.strip() == "[]", "the gateway imports every plugin: import these later"

    def test_accepts_plain_requests(self, backend: AnyBackend) -> None:
        for body in _bodies(backend, samples.minimal_body, samples.form_body):
            job = samples.train_request(body)
            problems = _review(backend, job).problems
            assert not problems, f"a request as the forms send it is refused: {problems}"
            _check_spec(_build(backend, job))

    def test_is_pure(self, backend: AnyBackend) -> None:
        for body in _bodies(backend, samples.form_body):
            job = samples.train_request(body)
            before = (_review(backend, job), _build(backend, job), _frozen(job))
            with forbid_effects():
                after = (_review(backend, job), _build(backend, job), _frozen(job))
            assert after == before, "the same request must give the same answer"

    def test_hides_secrets(self, backend: AnyBackend) -> None:
        for body in _bodies(backend, samples.canary_body):
            job = samples.train_request(body)
            said = msgspec.json.encode((_review(backend, job), _build(backend, job)))
            assert samples.CANARY.encode() not in said, "a secret of the request shows"

    def test_reports_all_problems_at_once(self, backend: AnyBackend) -> None:
        for method in sorted(backend.methods):
            body = samples.minimal_body(method, _provider(backend))
            alone: set[tuple[str, str]] = set()
            for path, value in SPOILS:
                spoilt = samples.minimal_body(method, _provider(backend))
                samples.put(spoilt, path, value)
                samples.put(body, path, value)
                alone |= _found(backend, spoilt)
            assert alone <= _found(backend, body), "a problem was held back"

    def test_drops_no_field_silently(self, backend: AnyBackend) -> None:
        for method in sorted(backend.methods):
            for change in samples.CHANGES:
                bodies = [
                    change.body(value, method, _provider(backend))
                    for value in (change.one, change.other)
                ]
                if not any(_reports(backend, body, change.path) for body in bodies):
                    one, other = (_build(backend, samples.train_request(body)) for body in bodies)
                    assert one != other, f"{change.path} is neither honoured nor reported"

    def test_refuses_unknown_options(self, backend: AnyBackend) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"no-such-option": 1}, backend.options_type)

    @_CHECKS
    @given(data=st.data())
    def test_survives_every_request(self, backend: AnyBackend, data: st.DataObject) -> None:
        job = data.draw(requests(backend.methods))
        review = _review(backend, job)
        given_fields = msgspec.to_builtins(job, enc_hook=redact_hook)
        for finding in (*review.problems, *review.ignored):
            assert finding.path.startswith("$."), "findings carry a JSON path"
            if isinstance(finding, Problem):
                assert finding.code in CATALOGUE, "problems carry a code of the catalogue"
            else:
                assert _is_given(given_fields, finding), f"{finding.path} was not even given"
        if not review.problems:
            _check_spec(_build(backend, job))


def _bodies(backend: AnyBackend, *makers: Any) -> list[dict[str, Any]]:
    provider = _provider(backend)
    return [make(method, provider) for make in makers for method in sorted(backend.methods)]


def _provider(backend: AnyBackend) -> str:
    """One that the backend serves, the commonest first."""
    return "huggingface" if "huggingface" in backend.providers else min(backend.providers)


def _review(backend: AnyBackend, job: TrainRequest) -> Review:
    return backend.review(job, backend.options_type(), samples.sample_context(job))


def _build(backend: AnyBackend, job: TrainRequest) -> ContainerSpec:
    return backend.build(job, backend.options_type(), samples.sample_context(job))


def _found(backend: AnyBackend, body: dict[str, Any]) -> set[tuple[str, str]]:
    problems = _review(backend, samples.train_request(body)).problems
    return {(problem.path, problem.code) for problem in problems}


def _reports(backend: AnyBackend, body: dict[str, Any], path: str) -> bool:
    """Whether the field itself, one above or one below it is a problem or ignored."""
    wanted = "$." + re.sub(r"\.(\d+)", r"[\1]", path)
    review = _review(backend, samples.train_request(body))
    paths = [finding.path for finding in (*review.problems, *review.ignored)]
    return any(found.startswith(wanted) or wanted.startswith(found) for found in paths)


def _frozen(job: TrainRequest) -> bytes:
    return msgspec.json.encode(job, enc_hook=redact_hook)


def _is_given(fields: Any, ignored: Ignored) -> bool:
    place = fields
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", ignored.path):
        place = place[int(index)] if index else place.get(key)
        if place is None:
            return False
    return True


def _check_spec(spec: ContainerSpec) -> None:
    assert spec.image
    assert spec.command, "nothing to run"
    again = msgspec.json.decode(msgspec.json.encode(spec), type=ContainerSpec)
    assert again == spec, "the spec is stored and must come back the same"
    for file in spec.files:
        path = PurePosixPath(file.path)
        assert not path.is_absolute(), "files lie in the run's folder"
        assert ".." not in path.parts, "files lie in the run's folder"
    assert samples.CANARY not in msgspec.json.encode(spec).decode()
