"""PiSSA and OLoRA begin with a part of the base's weights, which they take out of it.

The result must fit the base as everybody has it, so at the end that part is taken out of the adapter again:
(W - s B0 A0) + s B A = W + s [B, -B0] [A; A0], a plain LoRA of twice the rank.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def changes_base(start: object) -> bool:
    """Whether this value of init_lora_weights changes the weights that the adapter is put on."""
    name = str(start).lower()
    return name.startswith("pissa") or name == "olora"


def taken_from_base(model: nn.Module) -> dict[str, Tensor]:
    """A0 and B0 by their names in an adapter's file; nothing where the base is as it was. Ask before the first step."""
    configs: dict[str, Any] = getattr(model, "peft_config", {})
    if not any(changes_base(getattr(one, "init_lora_weights", None)) for one in configs.values()):
        return {}
    from peft import get_peft_model_state_dict

    state: dict[str, Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {
        name: tensor.detach().to("cpu", copy=True)
        for name, tensor in state.items()
        if _is_a(name) or _is_b(name)
    }


def give_back(folder: Path, taken: dict[str, Tensor]) -> None:
    """Rewrite the saved adapter in `folder` so that it belongs on the unchanged base."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    for name, start in taken.items():
        now = tensors[name]
        if _is_a(name):
            tensors[name] = torch.cat([now, start.to(now.dtype)], dim=0)
        else:
            tensors[name] = torch.cat([now, -start.to(now.dtype)], dim=1)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(_doubled(config), indent=2, sort_keys=True))


def _doubled(config: dict[str, Any]) -> dict[str, Any]:
    """Twice the rank, the same scale: alpha / rank, or alpha / sqrt(rank) for rsLoRA."""
    growth = math.sqrt(2) if config["use_rslora"] else 2
    return {
        **config,
        "init_lora_weights": True,
        "r": config["r"] * 2,
        "lora_alpha": config["lora_alpha"] * growth,
        "rank_pattern": {key: rank * 2 for key, rank in config["rank_pattern"].items()},
        "alpha_pattern": {key: alpha * growth for key, alpha in config["alpha_pattern"].items()},
    }


def _is_a(name: str) -> bool:
    return "lora_A" in name or "lora_embedding_A" in name


def _is_b(name: str) -> bool:
    return "lora_B" in name or "lora_embedding_B" in name
