"""The whole model with its adapter merged in: the base's own files, streamed tensor by tensor on the CPU.

Each layer that the adapter changes is rebuilt alone, with PEFT's own classes on the base's full-precision weights, and
merged by PEFT. So the memory for one layer suffices for any model, an adapter that was trained on quantised weights is
merged into the original ones, and a method needs no code of its own here.
"""

import copy
import re
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor, nn

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.tensor_files import (
    DTYPES,
    SHARD_BYTES,
    Entry,
    read_entries,
    read_tensor,
    write_shards,
)
from tunegate.trainer.weights import shards_of

if TYPE_CHECKING:
    from peft import PeftConfig

PREFIX = "base_model.model."
ADAPTER_FILE = "adapter_model.safetensors"
SINGLE_ROWS = ".token_adapter.trainable_tokens_delta"
"""How PEFT calls the rows of single tokens that were trained."""
DATA_DEPENDENT = frozenset({"loftq", "eva", "corda"})
"""Initialisations that changed the base in a way which its files alone do not tell."""
LONGEST = 200
_OWN_PART = re.compile(r"\.(?:weight|bias|base_layer\.\w+)$")


class NotMergeable(Exception):
    """Why this adapter can't be merged; the end of a sentence for the user."""


def merge_adapter(
    adapter: Path, base: Path, target: Path, largest_bytes: int = SHARD_BYTES
) -> None:
    """Write the merged model of an exported adapter to `target`, in files of at most `largest_bytes`.

    `base` is the folder of the base model. Memory: the adapter and a few copies of one tensor. Raises NotMergeable (and
    leaves nothing then), TunegateError artifact_not_finite.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        merger = _Merger(adapter, base)
        write_shards(target, merger.entries, merger.changed, largest_bytes)
    except NotMergeable:
        shutil.rmtree(target)
        raise
    merger.config.save_pretrained(target)
    generation = base / "generation_config.json"
    if generation.exists():
        shutil.copyfile(generation, target / generation.name)


class _Merger:
    """What the adapter does to the base's tensors."""

    def __init__(self, adapter: Path, base: Path) -> None:
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoModelForCausalLM

        self._peft: Any = _peft_config(adapter)
        self._tokens: Any = getattr(self._peft, "trainable_token_indices", None)
        if self._tokens is not None:
            self._peft.trainable_token_indices = None
        self.config: Any = AutoConfig.from_pretrained(base, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(self.config)
        self._modules = dict(skeleton.named_modules())
        self._prefix = f"{skeleton.base_model_prefix}."
        found = _entries(base)
        self._places = {self._model_name(entry.name): entry for entry in found}
        self._adapter = load_file(adapter / ADAPTER_FILE)
        self._layers: set[str] = set()
        self._whole: dict[str, Tensor] = {}
        for key, tensor in self._adapter.items():
            self._assign(key.removeprefix(PREFIX), tensor)
        self._refuse_tied(skeleton)
        self._adopt_vocabulary(skeleton)
        self.entries = [self._as_written(entry) for entry in found]

    def changed(self, entry: Entry) -> Tensor | None:
        """The tensor after the merge; None where the adapter leaves it as it is."""
        name = self._model_name(entry.name)
        path, _, part = name.rpartition(".")
        if name in self._whole:
            return self._whole[name].to(DTYPES[entry.dtype])
        if path not in self._layers:
            return None
        merged = self._merged(path)[part].to(DTYPES[entry.dtype])
        if not bool(torch.isfinite(merged).all()):
            sentence = f"The merged weights of {path} are not finite."
            raise TunegateError("artifact_not_finite", sentence)
        return merged

    def _assign(self, key: str, tensor: Tensor) -> None:
        """Find out whether a tensor of the adapter takes the place of one of the base, or belongs to a layer."""
        plain = key.replace(".base_layer.", ".")
        if plain in self._places:
            self._whole[plain] = tensor
            return
        if key.endswith(SINGLE_ROWS) and key.replace(SINGLE_ROWS, ".weight") in self._places:
            self._whole[key.replace(SINGLE_ROWS, ".weight")] = self._with_rows(key, tensor)
            return
        path = next((p for p in _parents(key) if p in self._modules), "")
        if not list(self._modules[path].parameters(recurse=False)):
            raise NotMergeable(f"{key} belongs to no single layer of the base")
        if f"{path}.weight" not in self._places:
            raise NotMergeable(f"the base's files hold no weights of their own for {path}")
        if _OWN_PART.search(key) and key.rpartition(".")[0] == path:
            raise NotMergeable(f"the base's files hold no {key}")
        for name in self._parts(path):
            if (dtype := self._places[name].dtype) not in DTYPES:
                raise NotMergeable(f"the base's files hold {path} as {dtype}")
        self._layers.add(path)

    def _with_rows(self, key: str, rows: Tensor) -> Tensor:
        """A vocabulary layer with the rows of some tokens in place, which may be new ones."""
        layer = key.removesuffix(SINGLE_ROWS)
        weight = read_tensor(self._places[f"{layer}.weight"])
        tokens = self._tokens[layer.rpartition(".")[2]] if isinstance(self._tokens, dict) else self._tokens  # fmt: skip
        missing = max(tokens) + 1 - weight.shape[0]
        if missing > 0:
            weight = torch.cat([weight, weight.new_zeros(missing, weight.shape[1])])
        weight[tokens] = rows.to(weight.dtype)
        return weight

    def _merged(self, path: str) -> dict[str, Tensor]:
        """One layer, alone in a world of its own, merged by PEFT. Its tensors in fp32."""
        from peft import get_peft_model, set_peft_model_state_dict

        layer = copy.deepcopy(self._modules[path])
        for name in self._parts(path):
            weight = read_tensor(self._places[name]).float()
            setattr(layer, name.rpartition(".")[2], nn.Parameter(weight, requires_grad=False))
        world = place = nn.Module()
        *above, last = path.split(".")
        for name in above:
            place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.add_module(last, layer)
        inside = f"{PREFIX}{path}."
        own = {key: tensor for key, tensor in self._adapter.items() if key.startswith(inside)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of patterns that fit other layers than this one
                adapted: Any = get_peft_model(world, copy.deepcopy(self._peft))
            unknown = set_peft_model_state_dict(adapted, own).unexpected_keys
            if not unknown:
                merged: nn.Module = adapted.merge_and_unload().get_submodule(path)
                return {name: tensor.data for name, tensor in merged.named_parameters()}
        except Exception as error:
            sentence = f"PEFT can't merge {path}: {str(error)[:LONGEST]}"
            raise NotMergeable(sentence) from error
        raise NotMergeable(f"PEFT does not know what {unknown[0]} is")

    def _parts(self, path: str) -> list[str]:
        """The names of a layer's own tensors."""
        own = self._modules[path].named_parameters(recurse=False)
        return [name for part, _ in own if (name := f"{path}.{part}") in self._places]

    def _refuse_tied(self, skeleton: Any) -> None:
        """Where one matrix is input and output layer, an adapter on one of them has no merged form."""
        if not getattr(self.config.get_text_config(), "tie_word_embeddings", False):
            return
        ends = (skeleton.get_input_embeddings(), skeleton.get_output_embeddings())
        for path in self._layers:
            if self._modules[path] in ends:
                raise NotMergeable(f"the base uses the weights of {path} twice")

    def _adopt_vocabulary(self, skeleton: Any) -> None:
        """Take over the size of embeddings that were trained whole."""
        embeddings = skeleton.get_input_embeddings()
        for name, tensor in self._whole.items():
            if self._modules.get(name.rpartition(".")[0]) is embeddings:
                self.config.get_text_config().vocab_size = tensor.shape[0]

    def _as_written(self, entry: Entry) -> Entry:
        tensor = self._whole.get(self._model_name(entry.name))
        if tensor is None or list(tensor.shape) == entry.shape:
            return entry
        size = entry.size_bytes // _numel(entry.shape) * tensor.numel()
        shape = list(tensor.shape)
        return msgspec.structs.replace(entry, shape=shape, stop=entry.start + size)

    def _model_name(self, name: str) -> str:
        """Some models' files leave the first part of the names out."""
        prefixed = self._prefix + name
        path = prefixed.rpartition(".")[0]
        return (
            prefixed
            if name.rpartition(".")[0] not in self._modules and path in self._modules
            else name
        )


def _peft_config(adapter: Path) -> "PeftConfig":
    from peft import PeftConfig

    config: Any = PeftConfig.from_pretrained(str(adapter))
    if config.is_prompt_learning:
        raise NotMergeable(
            f"{config.peft_type.value} puts its weights before the prompt, not into the model"
        )
    start = getattr(config, "init_lora_weights", None)
    if isinstance(start, str) and start.lower() in DATA_DEPENDENT:
        raise NotMergeable(f"the base that {start} started from is not in the base's files")
    if getattr(config, "layer_replication", None) or getattr(config, "target_parameters", None):
        raise NotMergeable("it repeats layers or changes parameters that are no layers")
    # What PEFT would look for in the world around the layer.
    config.task_type = config.modules_to_save = config.base_model_name_or_path = None
    return config


def _entries(base: Path) -> list[Entry]:
    files = [base / name for name in shards_of(base)]
    if not all(file.exists() for file in files):
        raise NotMergeable("the base has no safetensors files")
    return [entry for file in files for entry in read_entries(file)]


def _parents(key: str) -> list[str]:
    """The paths above a name, longest first."""
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


def _numel(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
