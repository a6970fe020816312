"""What must not be published."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.export import check_weights

FINE = {"lora_A": torch.ones(2), "lora_B": torch.tensor([0.0, 1.0])}


def test_a_fine_adapter(tmp_path: Path) -> None:
    save_file(FINE, tmp_path / "adapter_model.safetensors")
    check_weights(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (FINE | {"lora_A": torch.tensor([float("nan")])}, "lora_A are not finite"),
        (FINE | {"lora_A": torch.tensor([float("inf")])}, "lora_A are not finite"),
        (FINE | {"lora_B": torch.zeros(2)}, "still zero"),
    ],
)
def test_a_spoilt_adapter(tmp_path: Path, tensors: dict[str, torch.Tensor], words: str) -> None:
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(TunegateError, match=words) as caught:
        check_weights(tmp_path)
    assert caught.value.code == "artifact_invalid"


def test_a_torn_file_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(TunegateError, match="holds no weights"):
        check_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(TunegateError, match="can't be read back"):
        check_weights(tmp_path)
