"""From the data sets of a job to packed batches of tokens.

    sources = await fetch_sources(spec, secrets, work_dir, say)   # files on this machine
    data = prepare(sources, spec.tuning, tokenizer, say)          # rows → text → tokens and loss masks
    plan = batch_plan(data.train, spec.tuning)                    # step → micro batches

Failures are `TunegateError`s with the codes data_not_found, data_access_denied, storage_unavailable,
data_invalid and data_empty.
"""

from tunegate.trainer.data.batches import BatchPlan, batch_plan, eval_batches
from tunegate.trainer.data.fetch import LocalFile, LocalSource, fetch_sources
from tunegate.trainer.data.packing import PackedBatch
from tunegate.trainer.data.prepare import Prepared, prepare
from tunegate.trainer.data.report import DataReport
from tunegate.trainer.data.tokens import TokenStore

__all__ = [
    "BatchPlan",
    "DataReport",
    "LocalFile",
    "LocalSource",
    "PackedBatch",
    "Prepared",
    "TokenStore",
    "batch_plan",
    "eval_batches",
    "fetch_sources",
    "prepare",
]
