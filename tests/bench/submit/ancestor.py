"""The kind of service that tunegate replaces, for comparison: FastAPI, pydantic, jobs in a dict, nothing durable.

Runs in an environment of its own, with either major version of pydantic: `python ancestor.py PORT`.
"""

import sys
import uuid
from datetime import datetime, timezone
from enum import StrEnum
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field


class Method(StrEnum):
    lora = "lora"
    qlora = "qlora"
    full = "full"
    adapter = "adapter"
    new_transformer = "new-transformer"


class Provider(StrEnum):
    huggingface = "huggingface"
    meta = "meta"
    nemo = "nemo"
    bim = "bim"
    custom = "custom"


class DatasetFormat(StrEnum):
    jsonl = "jsonl"
    parquet = "parquet"
    csv = "csv"
    hf = "hf"


class Status(StrEnum):
    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


class BaseModelSpec(BaseModel):
    provider: Provider
    name: str = Field(..., alias="model_name")
    revision: str | None = "main"
    auth_token: str | None = None
    huggingface_token: str | None = None
    weights_url: str | None = None


class Quantization(BaseModel):
    use_double_quant: bool = True
    bnb_4bit_compute_dtype: str = "bfloat16"
    bnb_4bit_quant_type: str = "nf4"


class Peft(BaseModel):
    use: bool = True
    config: dict[str, Any] = {}


class Customization(BaseModel):
    method: Method
    rank: int | None = Field(None, ge=1)
    target_modules: list[str] | None = None
    lora_alpha: float | None = Field(None, gt=0)
    lora_dropout: float | None = Field(None, ge=0, le=1)
    trainable_layers: list[str] | None = None
    precision: str | None = "bf16"
    qlora: Quantization | None = None
    peft: Peft | None = None


class Resources(BaseModel):
    gpus: int = Field(1, ge=0)
    gpu_type: str | None = None
    cpus: int = Field(8, ge=1)
    memory_gb: int = Field(64, ge=1)
    max_duration_minutes: int = Field(480, ge=1)


class Auth(BaseModel):
    role_arn: str | None = None
    token: str | None = None
    username: str | None = None
    password: str | None = None


class Dataset(BaseModel):
    source: str
    format: DatasetFormat
    split: str | None = None
    auth: Auth | None = None


class Artifacts(BaseModel):
    log_uri: str | None = None
    output_uri: str
    status_stream_url: str | None = None


class TuningParameters(BaseModel):
    learning_rate: float = Field(2e-4, gt=0)
    batch_size: int = Field(32, ge=1)
    num_epochs: float = Field(3, gt=0)
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    gradient_checkpointing: bool = True
    max_sequence_length: int = Field(2048, ge=1)


class Callbacks(BaseModel):
    webhook_url: str | None = None
    auth_header: str | None = None
    event_filter: list[str] | None = None
    interval_seconds: int | None = None


class TrainRequest(BaseModel):
    job_id: str
    base_model: BaseModelSpec
    customization: Customization
    resources: Resources = Resources()
    datasets: list[Dataset]
    artifacts: Artifacts
    tuning_parameters: TuningParameters = TuningParameters()
    callbacks: Callbacks | None = None
    extra_parameters: dict[str, Any] | None = None


class Job(BaseModel):
    job_id: str
    backend_job_id: str
    backend: str
    status: Status
    detail: str | None = None
    created_at: datetime
    updated_at: datetime
    request: TrainRequest


app = FastAPI()
jobs: dict[str, Job] = {}


def check_token(authorization: str | None = Header(None)) -> None:
    if not authorization or not authorization.startswith("Bearer "):
        raise HTTPException(status_code=401, detail="missing token")


@app.post("/train", status_code=201, response_model=Job, dependencies=[Depends(check_token)])
def train(request: TrainRequest) -> Job:
    now = datetime.now(timezone.utc)  # noqa: UP017  Python 3.8 runs it too
    job = Job(
        job_id=request.job_id,
        backend_job_id=str(uuid.uuid4()),
        backend="huggingface-lora",
        status=Status.queued,
        created_at=now,
        updated_at=now,
        request=request,
    )
    jobs[job.job_id] = job
    return job


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]))
