from importlib.metadata import entry_points

import pytest

from tunegate.sdk.backend import AnyBackend
from tunegate.sdk.testing.backend import BackendConformance

OURS = ("echo", "full-finetune", "huggingface-lora", "qlora")


class TestInstalledBackends(BackendConformance):
    @pytest.fixture(params=OURS)
    def backend(self, request: pytest.FixtureRequest) -> AnyBackend:
        (entry,) = entry_points(group="tunegate.backends", name=request.param)
        return entry.load()()


def test_the_three_methods_have_one_default_each() -> None:
    backends = [entry.load() for entry in entry_points(group="tunegate.backends")]
    defaults = {method: b.name for b in backends for method in b.default_for if b.name in OURS}
    assert defaults == {
        "lora": "huggingface-lora",
        "peft": "huggingface-lora",
        "adapter": "huggingface-lora",
        "qlora": "qlora",
        "full": "full-finetune",
    }
