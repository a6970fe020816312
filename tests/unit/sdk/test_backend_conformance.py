"""Every rule of the suite must be able to fail: one broken backend for each."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunegate.contract.problems import Ignored
from tunegate.sdk.backend import Review
from tunegate.sdk.testing.backend import BackendConformance
from tunegate_qlora import QloraBackend


class Nameless(QloraBackend):
    name = "No Name!"


class Servant(QloraBackend):
    default_for = frozenset({"full"})


class Refuses(QloraBackend):
    providers = frozenset({"bim"})

    def review(self, job: Any, options: Any, context: Any) -> Review:
        return QloraBackend().review(job, options, context)


class Random(QloraBackend):
    counter = itertools.count()

    def build(self, job: Any, options: Any, context: Any) -> Any:
        spec = super().build(job, options, context)
        return msgspec.structs.replace(spec, labels={"n": str(next(self.counter))})


class Peeks(QloraBackend):
    def build(self, job: Any, options: Any, context: Any) -> Any:
        Path("/proc/self/stat").read_text()
        return super().build(job, options, context)


class Leaks(QloraBackend):
    def build(self, job: Any, options: Any, context: Any) -> Any:
        spec = super().build(job, options, context)
        token = job.base_model.auth_token
        env = {"HF_TOKEN": token.reveal()} if token else {}
        return msgspec.structs.replace(spec, env=env)


class OneAtATime(QloraBackend):
    def review(self, job: Any, options: Any, context: Any) -> Review:
        review = super().review(job, options, context)
        return msgspec.structs.replace(review, problems=review.problems[:1])


class Forgets(QloraBackend):
    def build(self, job: Any, options: Any, context: Any) -> Any:
        return super().build(msgspec.structs.replace(job, tuning_parameters=None), options, context)


class Open(QloraBackend):
    options_type: Any = type("Open", (msgspec.Struct,), {})


class Raises(QloraBackend):
    def review(self, job: Any, options: Any, context: Any) -> Review:
        assert job.tuning_parameters is None, "no such thing"
        return super().review(job, options, context)


class Invents(QloraBackend):
    def review(self, job: Any, options: Any, context: Any) -> Review:
        review = super().review(job, options, context)
        ignored = [*review.ignored, Ignored(path="$.customization.rank", reason="why not")]
        return msgspec.structs.replace(review, ignored=ignored)


SUITE = BackendConformance()


@pytest.mark.parametrize(
    ("rule", "backend"),
    [
        (SUITE.test_says_who_it_is, Nameless),
        (SUITE.test_says_who_it_is, Servant),
        (SUITE.test_accepts_plain_requests, Refuses),
        (SUITE.test_is_pure, Random),
        (SUITE.test_is_pure, Peeks),
        (SUITE.test_hides_secrets, Leaks),
        (SUITE.test_reports_all_problems_at_once, OneAtATime),
        (SUITE.test_drops_no_field_silently, Forgets),
        (SUITE.test_refuses_unknown_options, Open),
        (SUITE.test_survives_every_request, Raises),
        (SUITE.test_survives_every_request, Invents),
    ],
)
def test_rule_can_fail(rule: Callable[[Any], None], backend: type[QloraBackend]) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        rule(backend())


def test_a_heavy_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "heavy_plugin.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    heavy = type("Heavy", (QloraBackend,), {"__module__": "heavy_plugin"})
    with pytest.raises(AssertionError):
        SUITE.test_loads_without_heavy_libraries(heavy())
