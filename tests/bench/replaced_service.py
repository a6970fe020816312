"""The kind of service that tunegate replaces, for comparison: FastAPI, pydantic, jobs in a dict, nothing durable.

Runs in an environment of its own: `python replaced_service.py PORT`.
"""

import sys
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field


class Model(BaseModel):
    provider: str
    model_name: str
    revision: str = "main"
    auth_token: str | None = None
    huggingface_token: str | None = None
    weights_url: str | None = None


class Customization(BaseModel):
    method: str
    rank: int = 16
    target_modules: list[str] = []
    lora_alpha: float = 32
    lora_dropout: float = 0.05
    trainable_layers: list[str] = []
    precision: str = "bf16"
    qlora: dict[str, Any] | None = None
    peft: dict[str, Any] | None = None


class Resources(BaseModel):
    gpus: int = 1
    gpu_type: str | None = None
    cpus: int = 8
    memory_gb: int = 64
    max_duration_minutes: int = 480


class Dataset(BaseModel):
    source: str
    format: str
    auth: dict[str, str] | None = None


class Artifacts(BaseModel):
    log_uri: str
    output_uri: str
    status_stream_url: str | None = None


class Tuning(BaseModel):
    learning_rate: float = Field(2e-4, gt=0)
    batch_size: int = Field(32, ge=1)
    num_epochs: float = 3
    warmup_ratio: float = 0.1
    gradient_checkpointing: bool = True
    max_sequence_length: int = 2048


class Callbacks(BaseModel):
    webhook_url: str | None = None
    auth_header: str | None = None


class Job(BaseModel):
    job_id: str
    base_model: Model
    customization: Customization
    resources: Resources = Resources()
    datasets: list[Dataset]
    artifacts: Artifacts
    tuning_parameters: Tuning = Tuning()
    callbacks: Callbacks | None = None


app = FastAPI()
jobs: dict[str, dict[str, Any]] = {}


@app.post("/train", status_code=201)
def train(job: Job) -> dict[str, Any]:
    jobs[job.job_id] = {
        "job_id": job.job_id,
        "backend_job_id": str(uuid.uuid4()),
        "status": "queued",
    }
    return jobs[job.job_id]


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
