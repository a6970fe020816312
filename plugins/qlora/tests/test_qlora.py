from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunegate.contract.training import QuantizationPlan, TrainingSpec
from tunegate.sdk.resolve import TrainerOptions
from tunegate.sdk.testing.samples import minimal_body, put, sample_context, train_request
from tunegate_qlora import QloraBackend


@pytest.mark.parametrize(
    ("asked", "plan"),
    [
        ({}, QuantizationPlan(kind="nf4")),
        ({"bnb_4bit_quant_type": "fp4"}, QuantizationPlan(kind="fp4")),
        (
            {"bnb_4bit_compute_dtype": "float16", "use_double_quant": False},
            QuantizationPlan(kind="nf4", double_quant=False, compute_dtype="float16"),
        ),
    ],
)
def test_quantization(asked: dict[str, Any], plan: QuantizationPlan) -> None:
    body = minimal_body("qlora")
    put(body, "customization.qlora", asked)
    job = train_request(body)
    container = QloraBackend().build(job, TrainerOptions(), sample_context(job))
    spec = msgspec.json.decode(container.files[0].content, type=TrainingSpec)
    assert (spec.method, spec.quantization) == ("qlora", plan)


def test_8_bits_are_not_4() -> None:
    body = minimal_body("qlora")
    put(body, "customization.precision", "int8")
    job = train_request(body)
    (problem,) = QloraBackend().review(job, TrainerOptions(), sample_context(job)).problems
    assert problem.path == "$.customization.precision"


def test_the_docs_show_the_plugin_itself() -> None:
    root = Path(__file__).parents[3]
    source = (root / "plugins/qlora/src/tunegate_qlora/__init__.py").read_text()
    assert f"```python\n{source}```" in (root / "docs/PLUGINS.md").read_text()
