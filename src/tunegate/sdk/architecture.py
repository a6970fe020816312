"""`Architecture`: the sizes of a decoder, from which its weights and what it needs to train are counted. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from tunegate.contract.base import Wire

_VOCABULARY = 32_000
_FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "query_key_value": ("q_proj", "k_proj", "v_proj"),
    "c_attn": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "c_fc": ("gate_proj", "up_proj"),
    "dense_h_to_4h": ("gate_proj", "up_proj"),
    "fc1": ("gate_proj", "up_proj"),
    "dense_4h_to_h": ("down_proj",),
    "fc2": ("down_proj",),
}
"""Names of other families for what Llama's names say, as far as sizes go."""


class Architecture(Wire):
    """A decoder whose blocks are attention and a gated MLP, as nearly all of today's are. Sizes are in numbers."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    tied: bool = False
    """Whether the output layer is the embedding."""
    experts: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self | None:
        """From a config.json; None when it lacks its sizes."""
        hidden = _number(config, "hidden_size", "n_embd")
        layers = _number(config, "num_hidden_layers", "n_layer")
        if hidden is None or layers is None:
            return None
        heads = _number(config, "num_attention_heads", "n_head") or 1
        return cls(
            hidden=hidden,
            inner=_number(config, "intermediate_size", "n_inner") or 4 * hidden,
            layers=layers,
            heads=heads,
            key_value_heads=_number(config, "num_key_value_heads") or heads,
            head_size=_number(config, "head_dim") or max(1, hidden // heads),
            vocabulary=_number(config, "vocab_size") or _VOCABULARY,
            tied=config.get("tie_word_embeddings") is True,
            experts=_number(config, "num_local_experts", "num_experts") or 1,
        )

    @property
    def query_size(self) -> int:
        return self.heads * self.head_size

    @property
    def key_value_size(self) -> int:
        return self.key_value_heads * self.head_size

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Input and output size of each linear layer of a block, under Llama's names."""
        hidden, inner, query, key = self.hidden, self.inner, self.query_size, self.key_value_size
        return {
            "q_proj": (hidden, query), "k_proj": (hidden, key), "v_proj": (hidden, key),
            "o_proj": (query, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }  # fmt: skip

    @property
    def block_weights(self) -> int:
        """Weights in the linear layers of one block; of a mixture, in all its experts."""
        attention = 2 * self.hidden * (self.query_size + self.key_value_size)
        return attention + 3 * self.hidden * self.inner * self.experts

    @property
    def edge_weights(self) -> int:
        """Weights of the embedding and the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights but those of norms and biases, which are too few to matter."""
        return self.edge_weights + self.layers * self.block_weights

    def chosen_linears(self, target_modules: Iterable[str] | None) -> dict[str, tuple[int, int]]:
        """The linear layers of a block that adapters go on; None = all. What no family names so counts as one more."""
        if target_modules is None:
            return self.linears
        chosen: dict[str, tuple[int, int]] = {}
        for target in target_modules:
            name = target.rpartition(".")[2]
            if name in {"all-linear", "all_linear"}:
                return self.linears
            for one in _FUSED.get(name, (name,)):
                chosen[one] = self.linears.get(one, (self.hidden, self.hidden))
        return chosen


def _number(config: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
