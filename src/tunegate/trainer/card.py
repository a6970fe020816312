"""README.md beside the weights: what was trained, on what, how, and how it went."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunegate.contract.training import TrainingSpec
from tunegate.trainer.data import DataReport
from tunegate.trainer.model import model_name
from tunegate.trainer.worst_rows import WorstRow

UNKNOWN_LICENCE = "other"
CARD_CHARACTERS = 16_384
WORST_SHOWN = 10


def model_card(
    spec: TrainingSpec,
    report: DataReport,
    metrics: dict[str, float],
    versions: dict[str, str],
    licence: str,
    worst: Sequence[WorstRow],
) -> str:
    """A model card in the form that the model hub reads. `licence` is the base's, as the hub calls it."""
    base = model_name(spec.model)
    library = "transformers" if spec.adapter is None else "peft"
    sources = [
        f"| {source.source} | {file.name} | {file.rows} | `{file.sha256}` |"
        for source in report.sources
        for file in source.files
    ]
    lines = [
        "---",
        f"base_model: {_quoted(base)}",
        f"library_name: {library}",
        f"license: {_quoted(licence)}",
        "pipeline_tag: text-generation",
        "tags: [tunegate]",
        "---",
        "",
        f"# {spec.job_id}",
        "",
        f"{_kind(spec)} of `{base}` (revision `{spec.model.revision}`), trained with tunegate.",
        "",
        "## Data",
        "",
        _data_sentence(report),
        "",
        "| source | file | rows | SHA-256 |",
        "| --- | --- | --- | --- |",
        *sources,
        "",
        "## Settings",
        "",
        _settings_sentence(spec),
        "",
        "## Metrics",
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.6g} |" for name, value in metrics.items()),
        "",
        "![Losses over the steps](curves.svg)",
        "",
        *_worst_section(worst),
        "## Made with",
        "",
        ", ".join(f"{name} {number}" for name, number in versions.items()),
        "",
    ]
    return "\n".join(lines)


def _worst_section(worst: Sequence[WorstRow]) -> Iterator[str]:
    if not worst:
        return
    yield "## Rows with the highest loss"
    yield ""
    yield "In the last epoch, against the usual loss of that time; more of them are in `worst_rows.jsonl`."
    yield ""
    yield "| row | loss | tokens |"
    yield "| --- | --- | --- |"
    yield from (f"| {row.row} | {row.loss:.3f} | {row.tokens} |" for row in worst[:WORST_SHOWN])
    yield ""


def licence_of(base: Path) -> str:
    """What the base model's own card says; "other" where there is none or it does not say."""
    card = base / "README.md"
    if not card.is_file():
        return UNKNOWN_LICENCE
    with card.open(encoding="utf-8", errors="replace") as file:
        head = file.read(CARD_CHARACTERS)
    front = re.match(r"---\r?\n(.*?)\r?\n---", head, re.DOTALL)
    named = (
        re.search(r"^license:[ \t]*[\"']?([\w.-]{1,64})", front[1], re.MULTILINE) if front else None
    )
    return named[1] if named else UNKNOWN_LICENCE


def _data_sentence(report: DataReport) -> str:
    return (
        f"{report.train_examples} examples to train on, {report.eval_examples} to evaluate with; "
        f"{report.supervised_tokens:,} of {report.tokens:,} tokens count for the loss."
    )


def _settings_sentence(spec: TrainingSpec) -> str:
    tuning = spec.tuning
    return (
        f"Learning rate {tuning.learning_rate:g} ({tuning.lr_scheduler}, warm-up "
        f"{tuning.warmup_ratio:g}), batch of {tuning.batch_size}, {tuning.num_epochs:g} epochs, "
        f"sequences up to {tuning.max_sequence_length} tokens, optimizer {tuning.optimizer}, "
        f"seed {tuning.seed}, precision {spec.precision}. All of them are in `training.json`."
    )


def _kind(spec: TrainingSpec) -> str:
    if spec.adapter is None:
        return "A full fine-tuning"
    return f"A {spec.adapter.peft_type} adapter"


def _quoted(text: str) -> str:
    """As YAML takes any string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
