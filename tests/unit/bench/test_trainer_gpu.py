"""The GPU bench on a CPU: the same way with a tiny model."""

import json
from pathlib import Path

import pytest
import torch
from tests.bench import report, trainer_gpu


@pytest.mark.slow
def test_its_way_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "BUILD", tmp_path)
    monkeypatch.setattr(trainer_gpu, "trl_python", lambda: None)
    assert trainer_gpu.main("cpu", True, [], ["lora", "qlora"], 1, 2) == 0
    found = json.loads((tmp_path / "trainer_gpu_tiny.json").read_text())
    assert found.keys() == {"figures", "ratios", "goals", "machine"}
    for method in ("lora", "qlora"):
        assert found["figures"][f"tunegate_tokens_per_s_tiny_{method}"] > 0
        assert 0 < found["figures"][f"share_of_matmul_tiny_{method}"] < 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert trainer_gpu.main("cuda", False, ["1b"], ["lora"], 1, 2) == 2
    assert "needs a CUDA device" in capsys.readouterr().err


def test_what_a_token_costs() -> None:
    from tests.bench.gpu_cases import SHAPES

    shape = SHAPES["8b"]
    weights = shape.layers * sum(a * b for a, b in shape.linears())
    assert weights == pytest.approx(6.98e9, rel=0.01)
    assert shape.operations_per_token(1.0, 0.0) == pytest.approx(4 * 7.5e9, rel=0.02)
