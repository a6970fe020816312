"""Names of splits: the gateway's checks and the trainer go by the same ones."""

EVAL_SPLITS = frozenset({"validation", "valid", "val", "evaluation", "eval", "test", "dev"})
"""Names of a split that mark evaluation data."""


def is_eval_split(split: str | None) -> bool:
    """Whether this split name means evaluation."""
    return split is not None and split.lower() in EVAL_SPLITS
