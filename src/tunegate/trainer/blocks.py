"""`trainable_layers`: from layer names of any architecture to the blocks of this one."""

import re
from typing import TYPE_CHECKING

from torch import nn

from tunegate.contract.base import Wire
from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import TunegateError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = re.compile(r"(?:.*\.)?(?:layers?|h|blocks?)\.(\d+)\.?")


class Blocks(Wire):
    """The decoder's list of blocks: where it hangs, how many there are, which ones train (None = all)."""

    path: str
    count: int
    chosen: list[int] | None = None

    def is_chosen(self, parameter: str) -> bool:
        """Whether a parameter or module of this name may train."""
        if self.chosen is None:
            return True
        return any(parameter.startswith(f"{self.path}.{index}.") for index in self.chosen)

    @property
    def pattern(self) -> str:
        """The last part of the path: what PEFT calls the layers pattern."""
        return self.path.rpartition(".")[2]


def find_blocks(model: "PreTrainedModel") -> Blocks | None:
    """The first module list that is as long as the configuration says there are blocks."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return Blocks(path=path, count=len(module))
    return None


def choose_blocks(model: "PreTrainedModel", spec: TrainingSpec) -> Blocks | None:
    """The blocks that the job lets train. Raises TunegateError config_invalid when a name matches none."""
    blocks = find_blocks(model)
    if not spec.trainable_layers or spec.trainable_layers_advisory:
        return blocks
    if blocks is None:
        sentence = "trainable_layers names blocks, and this architecture has none to choose from."
        raise TunegateError("config_invalid", sentence)
    chosen = sorted({_number(name, blocks) for name in spec.trainable_layers})
    return Blocks(path=blocks.path, count=blocks.count, chosen=chosen)


def _number(name: str, blocks: Blocks) -> int:
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) >= blocks.count:
        sentence = (
            f"trainable_layers: {name} is no block of this model; there are "
            f"{blocks.path}.0 to {blocks.path}.{blocks.count - 1}."
        )
        raise TunegateError("config_invalid", sentence)
    return int(match[1])


def describe(blocks: Blocks | None, spec: TrainingSpec, trainable: int, total: int) -> str:
    """One sentence on how much of the model trains."""
    share = f"{_millions(trainable)} of {_millions(total)} parameters"
    if blocks is not None and blocks.chosen is not None:
        word = "block" if len(blocks.chosen) == 1 else "blocks"
        names = ", ".join(str(index) for index in blocks.chosen)
        return f"trains {word} {names} of {blocks.count}, as trainable_layers asks: {share}"
    if spec.trainable_layers and spec.trainable_layers_advisory:
        return f"trains all blocks, trainable_layers being advisory here: {share}"
    return f"trains {share}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 50_000 else f"{count:,}"
