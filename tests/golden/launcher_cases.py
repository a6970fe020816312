"""Runs to render: each method on one GPU, on eight of one node, and on two nodes of eight."""

from importlib.metadata import entry_points

from tunegate.contract.secret import Secret
from tunegate.sdk.launcher import Run
from tunegate.sdk.testing.samples import minimal_body, sample_context, train_request

METHODS = {"lora": "huggingface-lora", "qlora": "qlora", "full": "full-finetune"}
SIZES = {
    "1gpu": {"gpus": 1},
    "8gpus": {"gpus": 8, "gpu_type": "A100"},
    "2nodes": {"gpus": 8, "gpu_type": "A100", "nodes": 2},
}


def golden_run(method: str, size: str) -> Run:
    """The same value each time."""
    (entry,) = entry_points(group="tunegate.backends", name=METHODS[method])
    backend = entry.load()()
    body = minimal_body(method)
    body["resources"] = SIZES[size] | {"cpus": 16, "memory_gb": 128, "max_duration_minutes": 600}
    job = train_request(body)
    container = backend.build(job, backend.options_type(), sample_context(job))
    return Run(
        name=f"ft-{method}-{size}-1",
        job_id=job.job_id,
        attempt=1,
        attempt_id=f"attempt-{method}-{size}",
        container=container,
        gateway_url="https://tunegate.example",
        claim_token=Secret("the-claim-token"),
        remaining_s=600 * 60.0,
        grace_s=120.0,
    )
