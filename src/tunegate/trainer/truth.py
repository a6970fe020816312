"""The gate before a result is published: what lies in the folder is what was trained, and it can be loaded.

Here a folder is checked by its content; `publish` holds every byte of it to the hashes taken when it was written.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.identity import TokenizerIdentity, identity_of
from tunegate.trainer.tensor_files import DTYPES, read_entries, read_tensor
from tunegate.trainer.weights import shards_of

AT_REST = {
    "lora_B": 0.0, "lora_embedding_B": 0.0, "hada_w2_b": 0.0, "oft_R": 0.0, "boft_R": 0.0,
    "vera_lambda_b": 0.0, "ia3_l": 1.0,
}  # fmt: skip
"""Parts of adapters that start at this number: where all of them still stand there, the adapter does nothing."""
SAVING_CHANGES = frozenset({"inference_mode", "base_model_name_or_path", "auto_mapping", "revision", "peft_version"})  # fmt: skip
DOUBLING_CHANGES = frozenset({"r", "lora_alpha", "rank_pattern", "alpha_pattern", "init_lora_weights"})  # fmt: skip
"""Fields of an adapter's configuration."""


def check_result(
    folder: Path,
    base: Path,
    spec: TrainingSpec,
    model: Any,
    taken: dict[str, Tensor],
    tokenizer: TokenizerIdentity,
) -> None:
    """Hold the files to the model in memory and to the tokenizer that it was trained with.

    `base` is the base model's folder; `taken` is what the adapter took out of it (see `residual`). Raises TunegateError artifact_invalid, artifact_not_finite, artifact_empty or artifact_mismatch.
    """
    trained = _trained_tensors(model, spec)
    _refuse_unmoved(trained, taken)
    for name, start in taken.items():
        sign, way = (1, 0) if "_A" in name else (-1, 1)
        trained[name] = torch.cat([trained[name].detach().cpu(), sign * start], dim=way)
    found = _check_tensors(folder, trained)
    if (
        found <= trained.keys()
    ):  # else the files use other names than the model, as some architectures do
        there = {trained[name].data_ptr() for name in found}
        lost = [name for name, tensor in trained.items() if tensor.data_ptr() not in there]
        if lost:
            raise TunegateError("artifact_mismatch", f"The result lacks {lost[0]}.")
    if spec.adapter is None and not _differs(model, base):
        raise TunegateError("artifact_empty", "The weights are those of the base model.")
    with _loading("configuration"):
        same = _same_configuration(folder, spec, model, DOUBLING_CHANGES if taken else frozenset())
    if not same:
        raise TunegateError("artifact_mismatch", "The configuration is not the one trained with.")
    with _loading("tokenizer"):
        reloaded = _tokenizer_of(folder)
    if reloaded != tokenizer:
        raise TunegateError("artifact_mismatch", "The tokenizer is not the one trained with.")


def _refuse_unmoved(trained: dict[str, Tensor], taken: dict[str, Tensor]) -> None:
    """An adapter whose every part is as it was at the start was trained in vain."""
    moved: list[bool] = []
    for name, tensor in trained.items():
        rest = next((number for part, number in AT_REST.items() if part in name), None)
        if name in taken:
            moved.append(not torch.equal(tensor.detach().cpu(), taken[name]))
        elif rest is not None:
            moved.append(bool((tensor != rest).any()))
    if moved and not any(moved):
        sentence = "The adapter is as it was at the start: nothing was learned."
        raise TunegateError("artifact_empty", sentence)


def _check_tensors(folder: Path, trained: dict[str, Tensor]) -> set[str]:
    """Every tensor of the files finite and as trained. Gives their names."""
    found: set[str] = set()
    for name, tensor in _saved_tensors(folder):
        found.add(name)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            sentence = f"The trained weights of {name} are not finite."
            raise TunegateError("artifact_not_finite", sentence)
        known = trained.get(name)
        if known is not None and not torch.equal(tensor, known.detach().cpu().to(tensor.dtype)):
            raise TunegateError("artifact_mismatch", f"The result does not hold {name} as trained.")
    if not found:
        raise TunegateError("artifact_invalid", "The result holds no weights.")
    return found


def _saved_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 (no mapping)
                    yield name, weights.get_tensor(name)
        except (SafetensorError, OSError) as error:
            sentence = f"The file {file.name} of the result can't be read back."
            raise TunegateError("artifact_invalid", sentence) from error


def _trained_tensors(model: nn.Module, spec: TrainingSpec) -> dict[str, Tensor]:
    """What the files should hold, by the names that they have there."""
    if spec.adapter is None:
        return model.state_dict()
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(model, save_embedding_layers=False)


def _differs(model: nn.Module, base: Path) -> bool:
    """Whether a trained tensor is not the base's any more; the first one mostly suffices."""
    files = [base / name for name in shards_of(base)]
    if not all(file.exists() for file in files):
        return True
    places = {entry.name: entry for file in files for entry in read_entries(file)}
    compared = False
    for name, parameter in model.named_parameters():
        entry = places.get(name)
        if parameter.requires_grad and entry is not None and entry.dtype in DTYPES:
            compared = True
            if not torch.equal(parameter.detach().cpu(), read_tensor(entry).to(parameter.dtype)):
                return True
    return not compared


def _same_configuration(
    folder: Path, spec: TrainingSpec, model: Any, changed: frozenset[str]
) -> bool:
    if spec.adapter is None:
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            again = AutoModelForCausalLM.from_config(config)
        return _shapes(again) == _shapes(model)
    from peft import PeftConfig

    changed |= SAVING_CHANGES
    saved, trained = PeftConfig.from_pretrained(str(folder)), model.peft_config["default"]
    return _fields(saved, changed) == _fields(trained, changed)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def _fields(config: Any, but: frozenset[str]) -> dict[str, Any]:
    """As JSON would give them back: sets in order."""
    plain = msgspec.to_builtins(config.to_dict(), enc_hook=str, order="deterministic")
    return {
        name: sorted(value) if isinstance(value, list) else value
        for name, value in plain.items()
        if name not in but
    }


def _tokenizer_of(folder: Path) -> TokenizerIdentity:
    from transformers import AutoTokenizer

    return identity_of(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))


@contextmanager
def _loading(what: str) -> Generator[None]:
    try:
        yield
    except Exception as error:
        sentence = f"The {what} of the result can't be loaded ({type(error).__name__})."
        raise TunegateError("artifact_invalid", sentence) from error
