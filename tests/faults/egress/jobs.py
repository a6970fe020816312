"""Requests with a canary in every secret field, one for each way to go wrong."""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from faults.egress.canary import Canaries

Body = dict[str, Any]


class Jobs:
    """`server` is a hostile one: it answers with whatever it was sent."""

    def __init__(self, canaries: Canaries, server: str, folder: str) -> None:
        self._new = canaries.new
        self._server = server
        self._folder = folder
        self._chance = random.Random(11)

    def good(self, job_id: str) -> Body:
        return {
            "job_id": job_id,
            "backend": "echo",
            "base_model": {
                "provider": "huggingface",
                "model_name": "tests/tiny",
                "auth_token": self._new(),
                "huggingface_token": self._new(),
                "weights_url": f"https://models.example/weights?sig={self._query()}",
            },
            "customization": {"method": "lora"},
            "resources": {"gpus": 0, "cpus": 1, "memory_gb": 1},
            "datasets": [
                {"source": "s3://data/rows.jsonl", "format": "auto", "auth": self._keys()},
                {"source": f"https://data.example/rows.jsonl?sig={self._query()}", "format": "auto",
                 "auth": {"token": self._new()}},
                {"source": "https://data.example/more.jsonl", "format": "auto",
                 "auth": {"username": self._new(), "password": self._new()}},
                {"source": "s3://data/yet.jsonl", "format": "auto",
                 "auth": {"role_arn": "arn:aws:iam::123456789012:role/a", "external_id": self._new()}},
            ],
            "artifacts": {
                "output_uri": f"file://{self._folder}/results",
                "status_stream_url": f"{self._server}/ok/stream?key={self._query()}",
            },
            "callbacks": {
                "webhook_url": f"{self._server}/ok/{self._query()}?key={self._query()}",
                "auth_header": f"Bearer {self._new()}",
            },
            "extra_parameters": {"unsloth": {"api_token": self._new()}},
        }  # fmt: skip

    def trainer(self, job_id: str) -> Body:
        """For the real trainer: everything that it asks for refuses it, and quotes what it brought."""
        body = self.good(job_id)
        del body["backend"], body["extra_parameters"]["unsloth"]
        body["datasets"] = body["datasets"][:1]
        body["artifacts"] |= {"output_uri": "s3://data/results", "auth": self._keys()}
        if self._chance.random() < 0.5:
            del body["base_model"]["weights_url"]
            body["artifacts"] = {"output_uri": f"file://{self._folder}/results"}
        return body

    def malformed(self, job_id: str) -> bytes | Body:
        """Bodies that are refused, each for another reason."""
        return self._chance.choice(self._mistakes)(self.good(job_id))

    @property
    def _mistakes(self) -> tuple[Callable[[Body], Body], ...]:
        new = self._new
        return (
            lambda body: body | {"unheard_of": new()},
            lambda body: body | {"backend": new()},
            lambda body: body | {"base_model": body["base_model"] | {"provider": new()}},
            lambda body: body | {"base_model": body["base_model"] | {"auth_token": [new()]}},
            lambda body: body | {"base_model": body["base_model"] | {"auth_token": "\r\n" + new()}},
            lambda body: body | {"customization": {"method": new()}},
            lambda body: body | {"resources": {"gpus": new()}},
            lambda body: body | {"datasets": [{"source": f"https://u:{new()}@h/", "auth": new()}]},
            lambda body: body | {"datasets": [body["datasets"][0] | {"format": new()}]},
            lambda body: body | {"datasets": [{"source": "s3://a/b", "auth": {"aws_access_key_id": new()}}]},
            lambda body: body | {"callbacks": {"webhook_url": f"ftp://h/{new()}"}},
            lambda body: body | {"callbacks": {"webhook_url": f"https://h:{new()}/"}},
            lambda body: body | {"callbacks": body["callbacks"] | {"event_filter": [new()]}},
            lambda body: body | {"artifacts": {"output_uri": f"ftp://h/{new()}"}},
            lambda body: body | {"tuning_parameters": {"learning_rate": new()}},
            lambda body: body | {"job_id": new()},
            lambda body: body | {"extra_parameters": {"steps": new()}},
        )  # fmt: skip

    def _keys(self) -> Body:
        return {
            "aws_access_key_id": self._new(),
            "aws_secret_access_key": self._new(),
            "aws_session_token": self._new(),
        }

    def _query(self) -> str:
        return quote(self._new(), safe="")
